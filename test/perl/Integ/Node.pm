# Programs from npm (test/npm/package.json) for a test: counterparts that the
# vendors or the standards' own people wrote.
#
#   use Integ::Node;
#   plan skip_all => Integ::Node->missing if Integ::Node->missing;
#
#   my $server = Integ::Node->start('prism', '@stoplight/prism-cli/dist/index.js',
#       args => [ 'mock', '-p', $port, $file ], ready => qr/Prism is listening/);
#   $server->log;      # what it printed so far
#   $server->stop;
#   my $out = Integ::Node->run(source_file('test/webhooks/sign.mjs'), args => [ 'stripe' ], input => $body);
#
# A script is a path below node_modules, or an absolute one, which then finds
# the packages as if it stood beside them. What was started ends with the test.
package Integ::Node;

use strict;
use warnings;

use Carp qw(croak);
use File::Basename qw(basename);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use Integ::Test qw(slurp spew wait_until);
use POSIX qw(_exit);

my @running;

# Why the packages are not there, or nothing where they are.
sub missing
{
	my ($class) = @_;

	return 'what the tests take from npm is not installed: INTEG_NODE_MODULES is not set (test/npm.sh)'
	  unless defined $ENV{INTEG_NODE_MODULES} && -d $ENV{INTEG_NODE_MODULES};
	return defined _node() ? undef : 'npm brings no Node for this machine';
}

# Path of a file of a package, such as '@octokit/openapi/generated/api.github.com.json'.
sub file
{
	my ($class, $path) = @_;
	return "$ENV{INTEG_NODE_MODULES}/$path";
}

sub _node
{
	my ($node) = grep { -x } map { "$ENV{INTEG_NODE_MODULES}/node-linux-$_/bin/node" } qw(x64 arm64);
	return $node;
}

# A script of ours is copied to where it finds the packages: Node resolves them from a script's real path.
sub _script
{
	my ($script, $dir) = @_;

	return "$ENV{INTEG_NODE_MODULES}/$script" unless $script =~ m{^/};
	symlink $ENV{INTEG_NODE_MODULES}, "$dir/node_modules" or croak "symlink: $!";
	copy($script, "$dir/") or croak "$script: $!";
	return "$dir/" . basename($script);
}

sub _spawn
{
	my ($name, $script, %options) = @_;
	my $dir = tempdir("$name-XXXXXX", TMPDIR => 1, CLEANUP => 1);
	my $self = bless { owner => $$, name => $name, log => "$dir/log" }, __PACKAGE__;
	my @command = (_node(), _script($script, $dir), @{ $options{args} // [] });

	spew("$dir/input", $options{input} // '');
	$self->{pid} = fork() // die "fork: $!";
	if ($self->{pid} == 0)
	{
		%ENV = (%ENV, NODE_ENV => 'production', NO_COLOR => 1, %{ $options{env} // {} });
		open STDIN, '<', "$dir/input";
		open STDOUT, '>', $self->{log};
		open STDERR, '>&', \*STDOUT;
		exec(@command) or _exit(127);
	}
	spew("$dir/node.pid", $self->{pid});
	push @running, $self;
	return $self;
}

# Whether it ended, by itself or by force.
sub _ended
{
	my ($self) = @_;

	return 1 unless defined $self->{pid};
	return 0 unless waitpid($self->{pid}, POSIX::WNOHANG) == $self->{pid};
	$self->{status} = $?;
	$self->{pid} = undef;
	return 1;
}

# Starts a server, and returns when its output matches "ready".
sub start
{
	my ($class, $name, $script, %options) = @_;
	my $self = _spawn($name, $script, %options);

	wait_until("$name to start", sub { $self->log =~ $options{ready} || $self->_ended });
	croak "$name did not start: " . $self->log unless $self->log =~ $options{ready};
	return $self;
}

# Runs a program to its end: what it printed. Dies, with its words, where it fails.
sub run
{
	my ($class, $script, %options) = @_;
	my $self = _spawn('node', $script, %options);

	wait_until("$script to end", sub { $self->_ended });
	croak "$script failed: " . $self->log if $self->{status} != 0;
	return $self->log;
}

sub log
{
	my ($self) = @_;
	return -e $self->{log} ? slurp($self->{log}) : '';
}

sub stop
{
	my ($self) = @_;

	if (defined $self->{pid})
	{
		local $?;
		kill 'TERM', $self->{pid};
		waitpid($self->{pid}, 0);
		$self->{pid} = undef;
	}
	return;
}

# A forked child of the test must not end its parent's servers.
END { $_->stop for grep { $_->{owner} == $$ } @running }

1;
