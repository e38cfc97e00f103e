# A PostgreSQL::Test::Cluster that has integ preloaded, a master key, loopback
# allowed, and the extension created in its database "postgres".
#
#   my $node = Integ::Cluster->create('main');
#   my $node = Integ::Cluster->create('main',
#       preload   => 0,                          # integ is not preloaded
#       extension => 0,                          # CREATE EXTENSION is left to the test
#       conf      => ['integ.hold = on', ...],   # further lines of postgresql.conf
#       init      => [allows_streaming => 1],    # handed to init
#       start     => 0);                         # not started
#
# Everything of PostgreSQL::Test::Cluster works on it: safe_psql, kill9, ...
package Integ::Cluster;

use strict;
use warnings;

use parent 'PostgreSQL::Test::Cluster';
# Nothing is imported: a function imported here would hide the parent's method of that name.
use Integ::Test ();
use PostgreSQL::Test::Utils ();

# The superuser is postgres, whoever runs the tests.
$ENV{PGUSER} = 'postgres';

# Settings of every test cluster; fsync stays off, since the machine does not fail.
my @settings = (
	q(max_worker_processes = 32),
	q(max_connections = 40),
	q(max_prepared_transactions = 10),
	q(restart_after_crash = on),
	# So that a test can name the dispatcher; those of several ask for them.
	q(integ.dispatchers = 1),
	q(integ.allowed_addresses = '127.0.0.0/8, ::1/128'));

# The sanitizer's frames are larger.
push @settings, q(max_stack_depth = '7MB') if ($ENV{INTEG_VARIANT} // '') eq 'asan';

sub create
{
	my ($class, $name, %options) = @_;
	my $self = $class->new($name);
	my $preload = $options{preload} // 1;

	$self->init(
		extra => [ '--encoding=UTF8', '--no-locale', '-U', 'postgres' ],
		@{ $options{init} // [] });
	$self->append_conf('postgresql.conf', "shared_preload_libraries = 'integ'")
	  if $preload;
	$self->make_master_key;
	$self->append_conf('postgresql.conf', "$_\n")
	  for @settings, @{ $options{conf} // [] };
	return $self unless $options{start} // 1;
	$self->start;
	$self->safe_psql('postgres', 'CREATE EXTENSION integ')
	  if $options{extension} // 1;
	return $self;
}

# Path of the master key file.
sub master_key_file
{
	my ($self) = @_;
	return $self->basedir . '/master.key';
}

# Writes a master key (64 hex digits; random ones unless given) that only the
# server's user can read, and names it in postgresql.conf.
sub make_master_key
{
	my ($self, $digits) = @_;
	my $file = $self->master_key_file;

	if (!defined $digits)
	{
		open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
		read($random, my $bytes, 32) == 32 or die "/dev/urandom: $!";
		$digits = unpack('H*', $bytes);
	}
	unlink $file;
	my $mask = umask 077;
	open my $out, '>', $file or die "$file: $!";
	print $out $digits;
	close $out or die "$file: $!";
	umask $mask;
	$self->append_conf('postgresql.conf', "integ.master_key_file = '$file'");
	return $digits;
}

# As the parent's; but where the server goes down while psql connects, which
# then ends before it has read its input, that is a connection that failed.
sub psql
{
	my ($self, @arguments) = @_;
	my (undef, undef, %options) = @arguments;
	my @result = eval { $self->SUPER::psql(@arguments) };

	if ($@ ne '')
	{
		die $@ if $options{on_error_die} || $@ !~ /Broken pipe/;
		@result = (2, '', $@);
	}
	return wantarray ? @result : $result[0];
}

# Runs SQL that must fail: returns the SQLSTATE and psql's verbose report,
# of which the test checks what a person would read.
sub sql_error
{
	my ($self, $sql, %options) = @_;
	my ($status, $out, $err) = $self->psql(
		$options{dbname} // 'postgres',
		$sql,
		on_error_stop => 1,
		extra_params => [ '-v', 'VERBOSITY=verbose', @{ $options{params} // [] } ]);

	return ('00000', $out) if $status == 0;
	my ($state) = $err =~ /(?:ERROR|FATAL|PANIC):\s+([0-9A-Z]{5}):/;
	return ($state // '', $err);
}

# Waits until a query answers "t", over restarts of the server too; dies with
# what it waited for.
sub wait_for_sql
{
	my ($self, $sql, $what, $dbname, $seconds) = @_;

	return Integ::Test::wait_until(
		$what // $sql,
		sub {
			my ($status, $out) = $self->psql($dbname // 'postgres', $sql, on_error_stop => 1);
			return $status == 0 && $out eq 't';
		},
		$seconds);
}

# Stopped and started: pg_ctl restart takes the executable of the running
# server, past the wrapper that brings the sanitizer's runtime.
sub restart
{
	my ($self) = @_;

	$self->stop('fast');
	return $self->start;
}

# Orderly, so that every process writes its coverage counts.
sub teardown_node
{
	my ($self, %options) = @_;

	if (($ENV{INTEG_VARIANT} // '') eq 'coverage')
	{
		$self->stop('fast', fail_ok => 1);
		return;
	}
	return $self->SUPER::teardown_node(%options);
}

1;
