/* sources: src/definitions/yaml.c src/definitions/version.c */
/* libs: -lyaml */
/*
 * YAML manifests and version texts that anybody may write.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "definitions/version.h"
#include "definitions/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char problem[256];
	char *text = malloc(size + 1);
	char *json;
	IntegVersion version;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	json = integ_yaml_to_json(text, size, 1 << 20, problem, sizeof(problem));
	if (json == NULL && problem[0] == '\0')
		abort();
	free(json);
	if (integ_version_parse(text, &version) && integ_version_compare(&version, &version) != 0)
		abort();
	free(text);
	return 0;
}
