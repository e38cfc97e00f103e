# Small things that several tests need.
#
#   use Integ::Test qw(rounds seed wait_until free_port source_file slurp);
package Integ::Test;

use strict;
use warnings;

use Carp qw(croak);
use Exporter 'import';
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(rounds seed wait_until free_port source_file slurp spew);

# How often a randomized test repeats: a few times in make check, its full
# count in make check-long.
sub rounds
{
	my ($few, $full) = @_;
	return $ENV{INTEG_LONG} ? $full : $few;
}

# Seeds rand() and prints the seed; INTEG_SEED=… repeats a run.
sub seed
{
	my $seed = $ENV{INTEG_SEED} // int(rand(2**31));
	srand($seed);
	diag("INTEG_SEED=$seed") if $ENV{INTEG_SEED};
	note("INTEG_SEED=$seed");
	return $seed;
}

# Waits until the code returns true, and returns what it returned. Gives up
# only where waiting longer would make no sense, and dies saying what it waited for.
sub wait_until
{
	my ($what, $code, $seconds) = @_;
	my $limit = time() + ($seconds // $ENV{PG_TEST_TIMEOUT_DEFAULT} // 180);

	while (1)
	{
		my $result = $code->();
		return $result if $result;
		croak "waited in vain for: $what" if time() > $limit;
		sleep 0.05;
	}
}

# A TCP port of the loopback interface that is free now.
sub free_port
{
	my $socket = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		LocalPort => 0,
		Proto => 'tcp',
		Listen => 1) or die "no free port: $!";
	return $socket->sockport;
}

# Path of a file of the checkout, such as "connectors/manifest.schema.json".
sub source_file
{
	my ($path) = @_;
	return ($ENV{INTEG_SOURCE} // '.') . "/$path";
}

sub slurp
{
	my ($file) = @_;
	open my $in, '<:raw', $file or croak "$file: $!";
	local $/;
	return scalar <$in>;
}

sub spew
{
	my ($file, $content) = @_;
	open my $out, '>:raw', $file or croak "$file: $!";
	print $out $content;
	close $out or croak "$file: $!";
	return;
}

1;
