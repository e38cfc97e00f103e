# A library before the system's that plays faults in a test's server, as long as a switch is on: a disk that is full
# ("full", of files in the folder disk()), names that do not resolve ("no_names"), a clock that was set ("clock", to
# what is written into it). It does not go with the sanitizers.
#
#   plan skip_all => Integ::Faults->missing if Integ::Faults->missing;
#   my $node = Integ::Cluster->create('main', start => 0);
#   my $faults = Integ::Faults->start($node);
#   $node->safe_psql('postgres', "CREATE TABLESPACE full LOCATION '" . $faults->disk . "'");
#   $faults->on('full');
#   $faults->off('full');
package Integ::Faults;

use strict;
use warnings;

use Integ::Test qw(source_file spew);

# Why it cannot be had; '': it can.
sub missing
{
	return ($ENV{INTEG_VARIANT} // '') eq 'asan' ? 'the library that plays the faults does not go with the sanitizer' : '';
}

# Starts the node with the library in it.
sub start
{
	my ($class, $node) = @_;
	my $self = bless { node => $node, map { $_ => $node->basedir . "/$_" } qw(switches disk faults.so) }, $class;

	mkdir $_ or die "$_: $!" for @$self{qw(switches disk)};
	system('cc', '-shared', '-fPIC', '-O1', "-DSWITCHES=\"$self->{switches}\"", "-DDISK=\"$self->{disk}\"", '-o',
		$self->{'faults.so'}, source_file('test/probe/faults.c')) == 0 or die 'the library does not compile';
	$self->start_again;
	return $self;
}

# Starts it after it was stopped or killed.
sub start_again
{
	my ($self) = @_;
	local $ENV{LD_PRELOAD} = $self->{'faults.so'};
	return $self->{node}->start;
}

# The folder of the disk that becomes full.
sub disk { return $_[0]{disk} }

# At once, also where the switch has a value: no process reads half of it.
sub on
{
	my ($self, $name, $value) = @_;
	my $file = "$self->{switches}/$name";

	spew("$file.new", $value // '');
	rename("$file.new", $file) or die "$file: $!";
	return;
}

sub off
{
	my ($self, $name) = @_;
	unlink "$self->{switches}/$name" or die "$name: $!";
	return;
}

1;
