# The official JSON-Schema-Test-Suite against integ.json_schema_problems.
#
# The suite comes from INTEG_JSON_SCHEMA_SUITE (a checkout), from the
# installed package libtest-json-schema-acceptance-perl, or from that package downloaded
# and unpacked for the test. Cases that are out of scope are listed below with their
# reason; every other case must give the suite's answer.

use strict;
use warnings;

use File::Basename;
use File::Find;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $package = 'libtest-json-schema-acceptance-perl';
my $share = 'usr/share/perl5/auto/share/dist/Test-JSON-Schema-Acceptance';

sub download
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	system("cd '$dir' && apt-get download $package >/dev/null 2>&1 && dpkg-deb -x ./*.deb . >/dev/null 2>&1");
	return "$dir/$share";
}

sub find_suite
{
	foreach my $candidate ($ENV{INTEG_JSON_SCHEMA_SUITE}, "/$share", \&download)
	{
		my $dir = ref $candidate ? $candidate->() : $candidate;
		return $dir if defined $dir && -d "$dir/tests/draft2020-12";
	}
	return;
}

my $suite = find_suite();
plan skip_all => "the JSON Schema test suite cannot be had: install the Debian package $package"
  unless defined $suite;

# What is out of scope: file, group and, where it is not the whole group,
# case. A name that ends in * stands for all that start like it.
my @out_of_scope;
while (my $line = <DATA>)
{
	chomp $line;
	next if $line =~ /^#/ || $line eq '';
	push @out_of_scope, [ map { s/\\\*$/.*/r } map { quotemeta } split /\t/, $line ];
}

sub out_of_scope
{
	my @names = @_;
	return grep {
		my $entry = $_;
		!grep { $names[$_] !~ /^$entry->[$_]$/ } 0 .. $#$entry;
	} @out_of_scope;
}

my $node = PostgreSQL::Test::Cluster->new('suite');
$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'integ'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION integ');
$node->safe_psql(
	'postgres', q{
CREATE FUNCTION verdict(schema json, document json, dialect text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	compiled jsonb := schema;
	problem text;
BEGIN
	IF dialect = 'draft7' AND jsonb_typeof(compiled) = 'object' AND NOT compiled ? '$schema' THEN
		compiled := compiled || '{"$schema": "http://json-schema.org/draft-07/schema#"}';
	END IF;
	RETURN NOT EXISTS (SELECT FROM integ.json_schema_problems(compiled, document::jsonb));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS problem = PG_EXCEPTION_DETAIL;
	RETURN format('%s %s %s', SQLSTATE, SQLERRM, problem);
END
$$;
CREATE FUNCTION run(content json, dialect text)
RETURNS TABLE (grp text, test text, expected text, got text) LANGUAGE sql AS $$
	SELECT translate(g ->> 'description', E'\t\n|', '   '), translate(t ->> 'description', E'\t\n|', '   '),
		(t ->> 'valid')::boolean::text, translate(verdict(g -> 'schema', t -> 'data', dialect), E'\n\t', '  ')
	FROM json_array_elements(content) AS g, json_array_elements(g -> 'tests') AS t
$$;
});

my %count;
foreach my $dialect ('draft2020-12', 'draft7')
{
	my @files;
	find({ wanted => sub { push @files, $_ if /\.json$/ }, no_chdir => 1 }, "$suite/tests/$dialect");
	foreach my $path (sort @files)
	{
		my $file = substr $path, length("$suite/tests/");
		my $kind = $file =~ m{/optional/format/} ? 'format' : $file =~ m{/optional/} ? 'optional' : 'required';
		my $content = slurp_file($path);

		# jsonb has no NUL; integ reads it as U+FFFD.
		$content =~ s/(?<!\\)\\u0000/\\ufffd/g;
		my $rows = $node->safe_psql('postgres', "SELECT * FROM run(\$suite\$$content\$suite\$, '$dialect')");
		my @wrong;
		foreach my $row (split /\n/, $rows)
		{
			my ($group, $case, $expected, $got) = split /\|/, $row, 4;
			my $verdict =
				$got eq $expected ? 'right'
			  : out_of_scope($file, $group, $case) ? 'excused'
			  : 'wrong';
			$count{$dialect}{$kind}{$verdict}++;
			push @wrong, "$file\t$group\t$case\texpected $expected, got $got" if $verdict eq 'wrong';
		}
		ok(!@wrong, $file) or diag(join "\n", @wrong);
	}
	foreach my $kind (sort keys %{ $count{$dialect} })
	{
		my $c = $count{$dialect}{$kind};
		note(sprintf '%s %s: %d right, %d wrong, %d out of scope',
			$dialect, $kind, map { $c->{$_} // 0 } qw(right wrong excused));
	}
	cmp_ok($count{$dialect}{required}{right} // 0, '>', 700, "$dialect has cases that ran");
}

$node->stop;
done_testing();

__DATA__
# the schema refers to another document (or to the metaschema): validating
# never fetches, so this is refused at compile
draft2020-12/anchor.json	invalid anchors
draft2020-12/defs.json	validate definition against metaschema
draft2020-12/id.json	Invalid use of fragments in location-independent $id
draft2020-12/id.json	Valid use of empty fragments in location-independent $id
draft2020-12/id.json	Unnormalized $ids are allowed but discouraged
draft2020-12/optional/cross-draft.json	refs to historic drafts are processed as historic drafts
draft2020-12/optional/ecmascript-regex.json	\a is not an ECMA 262 control escape
draft2020-12/ref.json	remote ref, containing refs itself
draft2020-12/ref.json	URN base URI with f-component
draft2020-12/refRemote.json	remote ref
draft2020-12/refRemote.json	fragment within remote ref
draft2020-12/refRemote.json	anchor within remote ref
draft2020-12/refRemote.json	ref within remote ref
draft2020-12/refRemote.json	base URI change
draft2020-12/refRemote.json	base URI change - change folder
draft2020-12/refRemote.json	base URI change - change folder in subschema
draft2020-12/refRemote.json	root ref in remote ref
draft2020-12/refRemote.json	remote ref with ref to defs
draft2020-12/refRemote.json	Location-independent identifier in remote ref
draft2020-12/refRemote.json	retrieved nested refs resolve relative to their URI not $id
draft2020-12/refRemote.json	remote HTTP ref with different $id
draft2020-12/refRemote.json	remote HTTP ref with different URN $id
draft2020-12/refRemote.json	remote HTTP ref with nested absolute ref
draft2020-12/refRemote.json	$ref to $ref finds detached $anchor
draft7/definitions.json	validate definition against metaschema
draft7/optional/cross-draft.json	refs to future drafts are processed as future drafts
draft7/ref.json	remote ref, containing refs itself
draft7/refRemote.json	remote ref
draft7/refRemote.json	fragment within remote ref
draft7/refRemote.json	ref within remote ref
draft7/refRemote.json	base URI change
draft7/refRemote.json	base URI change - change folder
draft7/refRemote.json	base URI change - change folder in subschema
draft7/refRemote.json	root ref in remote ref
draft7/refRemote.json	remote ref with ref to definitions
draft7/refRemote.json	Location-independent identifier in remote ref
draft7/refRemote.json	retrieved nested refs resolve relative to their URI not $id
draft7/refRemote.json	$ref to $ref finds location-independent $id

# several $dynamicAnchors of one name: which one is meant depends on the way
# to them; refused at compile. Some also leave the document
draft2020-12/dynamicRef.json	A $dynamicRef resolves to the first $dynamicAnchor still in scope that is encountered *
draft2020-12/dynamicRef.json	A $dynamicRef with intermediate scopes that don't include a matching $dynamicAnchor do*
draft2020-12/dynamicRef.json	A $dynamicRef that initially resolves to a schema with a matching $dynamicAnchor resol*
draft2020-12/dynamicRef.json	multiple dynamic paths to the $dynamicRef keyword
draft2020-12/dynamicRef.json	after leaving a dynamic scope, it is not used by a $dynamicRef
draft2020-12/dynamicRef.json	strict-tree schema, guards against misspelled properties
draft2020-12/dynamicRef.json	tests for implementation dynamic anchor and reference link
draft2020-12/dynamicRef.json	$ref and $dynamicAnchor are independent of order - $defs first
draft2020-12/dynamicRef.json	$ref and $dynamicAnchor are independent of order - $ref first
draft2020-12/dynamicRef.json	$ref to $dynamicRef finds detached $dynamicAnchor
draft2020-12/dynamicRef.json	$dynamicRef skips over intermediate resources - direct reference
draft2020-12/dynamicRef.json	$dynamicRef avoids the root of each schema, but scopes are still registered
draft2020-12/optional/dynamicRef.json	$dynamicRef skips over intermediate resources - pointer reference across reso*
draft2020-12/unevaluatedItems.json	unevaluatedItems with $dynamicRef
draft2020-12/unevaluatedProperties.json	unevaluatedProperties with $dynamicRef

# format asserts here, as most users expect; in 2020-12 it is an annotation unless a vocabulary says otherwise
draft2020-12/format.json	email format	invalid email string is only an annotation by default
draft2020-12/format.json	idn-email format	invalid idn-email string is only an annotation by default
draft2020-12/format.json	regex format	invalid regex string is only an annotation by default
draft2020-12/format.json	ipv4 format	invalid ipv4 string is only an annotation by default
draft2020-12/format.json	ipv6 format	invalid ipv6 string is only an annotation by default
draft2020-12/format.json	hostname format	invalid hostname string is only an annotation by default
draft2020-12/format.json	date format	invalid date string is only an annotation by default
draft2020-12/format.json	date-time format	invalid date-time string is only an annotation by default
draft2020-12/format.json	time format	invalid time string is only an annotation by default
draft2020-12/format.json	json-pointer format	invalid json-pointer string is only an annotation by default
draft2020-12/format.json	relative-json-pointer format	invalid relative-json-pointer string is only an annotation by*
draft2020-12/format.json	iri format	invalid iri string is only an annotation by default
draft2020-12/format.json	iri-reference format	invalid iri-reference string is only an annotation by default
draft2020-12/format.json	uri format	invalid uri string is only an annotation by default
draft2020-12/format.json	uri-reference format	invalid uri-reference string is only an annotation by default
draft2020-12/format.json	uri-template format	invalid uri-template string is only an annotation by default
draft2020-12/format.json	uuid format	invalid uuid string is only an annotation by default
draft2020-12/format.json	duration format	invalid duration string is only an annotation by default

# names are checked as RFC 1123 has them; what punycode labels decode to is not
draft2020-12/optional/format/hostname.json	validation of A-label (punycode) host names
draft7/optional/format/hostname.json	validation of A-label (punycode) host names

# idn-hostname is an annotation: checking it needs the tables of IDNA 2008
draft2020-12/optional/format/idn-hostname.json	validation of internationalized host names
draft2020-12/optional/format/idn-hostname.json	validation of separators in internationalized host names
draft7/optional/format/idn-hostname.json	validation of internationalized host names
draft7/optional/format/idn-hostname.json	validation of separators in internationalized host names

# metaschemas and their vocabularies are not read
draft2020-12/vocabulary.json	schema that uses custom metaschema with with no validation vocabulary	no validation: i*

# contentEncoding and contentMediaType are annotations
draft7/optional/content.json	validation of string-encoded content based on media type	an invalid JSON document
draft7/optional/content.json	validation of binary string-encoding	an invalid base64 string (% is not a valid charac*
draft7/optional/content.json	validation of binary-encoded media type documents	a validly-encoded invalid JSON document
draft7/optional/content.json	validation of binary-encoded media type documents	an invalid base64 string that is val*
