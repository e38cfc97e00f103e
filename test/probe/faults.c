/*
 * Preloaded into a test's server: a disk that is full, names that do not
 * resolve, and a clock that was set, as long as files in the folder SWITCHES say so.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

static int
is_on(const char *name)
{
	return access(name, F_OK) == 0;
}

/* Whether a write there would need room that a full disk does not have. */
static int
is_full(int fd, off_t end)
{
	char link[64], path[1024];
	struct stat file;
	ssize_t len;

	if (!is_on(SWITCHES "/full"))
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return 0;
	path[len] = '\0';
	return strncmp(path, DISK "/", strlen(DISK) + 1) == 0 && fstat(fd, &file) == 0 && end > file.st_size;
}

static int
refuse(void)
{
	errno = ENOSPC;
	return -1;
}

ssize_t
pwrite64(int fd, const void *data, size_t len, off_t offset)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "pwrite64");
	return is_full(fd, offset + (off_t) len) ? refuse() : real(fd, data, len, offset);
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t offset)
{
	return pwrite64(fd, data, len, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	static ssize_t (*real)(int, const struct iovec *, int, off_t);

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "pwritev64");
	return is_full(fd, offset + (count > 0 ? (off_t) parts[0].iov_len : 0)) ? refuse() : real(fd, parts, count, offset);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	return pwritev64(fd, parts, count, offset);
}

int
posix_fallocate64(int fd, off_t offset, off_t len)
{
	static int (*real)(int, off_t, off_t);

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "posix_fallocate64");
	return is_full(fd, offset + len) ? ENOSPC : real(fd, offset, len);
}

int
posix_fallocate(int fd, off_t offset, off_t len)
{
	return posix_fallocate64(fd, offset, len);
}

/* Seconds, in the file "clock". Nothing here calls what may ask for the time. */
static long
clock_offset(void)
{
	char text[32] = "";
	int fd = open(SWITCHES "/clock", O_RDONLY);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return atol(text);
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	static int (*real)(struct timeval *, void *);
	int result;

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "gettimeofday");
	result = real(now, zone);
	now->tv_sec += clock_offset();
	return result;
}

/* "service.test" is this machine. */
int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (node == NULL || strcmp(node, "service.test") != 0)
		return real(node, service, hints, result);
	return is_on(SWITCHES "/no_names") ? EAI_AGAIN : real("127.0.0.1", service, hints, result);
}
