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

# What is out of scope: file, group (or *), case (or *), tab-separated; reasons are the comments above.
my %out_of_scope;
while (my $line = <DATA>)
{
	chomp $line;
	next if $line =~ /^#/ || $line eq '';
	my ($file, $group, $case) = split /\t/, $line;
	$out_of_scope{ join "\t", $file, $group // '*', $case // '*' } = 1;
}

sub out_of_scope
{
	my ($file, $group, $case) = @_;
	return grep { $out_of_scope{$_} } "$file\t*\t*", "$file\t$group\t*", "$file\t$group\t$case";
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
			if (out_of_scope($file, $group, $case))
			{
				$count{$dialect}{$kind}{skipped}++;
				note("stale: $file\t$group\t$case") if $got eq $expected && $ENV{INTEG_SUITE_STALE};
				next;
			}
			$count{$dialect}{$kind}{$got eq $expected ? 'right' : 'wrong'}++;
			push @wrong, "$file\t$group\t$case\texpected $expected, got $got" if $got ne $expected;
		}
		ok(!@wrong, $file) or diag(join "\n", @wrong);
	}
	foreach my $kind (sort keys %{ $count{$dialect} })
	{
		my $c = $count{$dialect}{$kind};
		note(sprintf '%s %s: %d right, %d wrong, %d out of scope',
			$dialect, $kind, map { $c->{$_} // 0 } qw(right wrong skipped));
	}
	cmp_ok($count{$dialect}{required}{right} // 0, '>', 700, "$dialect has cases that ran");
}

$node->stop;
done_testing();

__DATA__
