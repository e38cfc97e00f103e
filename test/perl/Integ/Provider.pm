# The project's local HTTP service (test/provider) for a test.
#
#   my $provider = Integ::Provider->start(token => 'secret', tls => [$cert, $key]);
#   $provider->url('/v1/countries');     # http://127.0.0.1:PORT/v1/countries
#   $provider->count('/v1/countries');   # requests that arrived at this path
#   $provider->log;                      # the requests, oldest first
#   $provider->forget;                   # counts and log start again
#
# It ends with the test.
package Integ::Provider;

use strict;
use warnings;

use Carp qw(croak);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use Integ::Test qw(slurp source_file wait_until);
use JSON::PP qw(decode_json);
use POSIX qw(_exit);

my @running;

sub start
{
	my ($class, %options) = @_;
	my $dir = tempdir('provider-XXXXXX', TMPDIR => 1, CLEANUP => 1);
	my $self = bless {
		owner => $$,
		dir => $dir,
		scheme => $options{tls} ? 'https' : 'http',
		token => $options{token},
		ca => $options{ca} }, $class;
	my @command = (
		'python3', source_file('test/provider'),
		'--port-file', "$dir/port", '--pid-file', "$dir/provider.pid",
		'--parent', $$);

	push @command, '--token', $options{token} if defined $options{token};
	push @command, '--port', $options{port} if defined $options{port};
	push @command, '--tls', @{ $options{tls} } if $options{tls};
	push @command, '--tls-ca', $options{tls_ca} if $options{tls_ca};

	$self->{pid} = fork() // die "fork: $!";
	if ($self->{pid} == 0)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$dir/log";
		open STDERR, '>&', \*STDOUT;
		exec(@command) or _exit(127);
	}
	push @running, $self;
	wait_until('the provider to start',
		sub { -s "$dir/port" || $self->_died });
	croak "the provider did not start: " . slurp("$dir/log") unless -s "$dir/port";
	chomp($self->{port} = slurp("$dir/port"));
	return $self;
}

sub _died
{
	my ($self) = @_;
	return waitpid($self->{pid}, POSIX::WNOHANG) == $self->{pid};
}

sub port { return $_[0]->{port} }
sub token { return $_[0]->{token} }

# The URL of a path; the host is 127.0.0.1 unless another name is wanted
# (for a certificate's name: localhost).
sub url
{
	my ($self, $path, $host) = @_;
	return sprintf '%s://%s:%d%s', $self->{scheme}, $host // '127.0.0.1', $self->{port}, $path // '';
}

# A request from the test itself: the decoded JSON of the answer.
sub request
{
	my ($self, $method, $path) = @_;
	my $answer = HTTP::Tiny->new(proxy => undef, http_proxy => undef, https_proxy => undef, verify_SSL => 0)
	  ->request($method, $self->url($path));

	croak "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return JSON::PP->new->utf8->allow_nonref->decode($answer->{content});
}

# How many requests arrived: at a path, or a hash of all paths.
sub count
{
	my ($self, $path) = @_;
	my $counts = $self->request('GET', '/count');
	return defined $path ? $counts->{$path} // 0 : $counts;
}

# The requests that arrived (a list of hashes: method, path, query, headers, body, json, …), all or those of one path.
sub log
{
	my ($self, $path) = @_;
	return grep { !defined $path || $_->{path} eq $path } @{ $self->request('GET', '/log') };
}

# Counts, log and records as at the start.
sub forget
{
	my ($self) = @_;
	$self->request('POST', '/reset');
	return;
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

# A forked child of the test must not end its parent's service.
END { $_->stop for grep { $_->{owner} == $$ } @running }

1;
