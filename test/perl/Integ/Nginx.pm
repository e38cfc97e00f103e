# nginx as the fast and the TLS counterpart, in a directory of its own.
#
#   my $nginx = Integ::Nginx->start(
#       locations => { '/json' => q(return 200 '{"ok": true}';) },  # nginx's own words
#       tls       => { valid => [$cert, $key], expired => [...] },   # one port for each
#       http2     => 1);
#   $nginx->url('/json');            # plain
#   $nginx->url('/json', tls => 'valid');   # https://localhost:PORT/json
#   $nginx->requests;                # lines of the access log: "METHOD URI PROTOCOL STATUS CONNECTION COUNT"
#
# Without locations it answers /json with a small document.
package Integ::Nginx;

use strict;
use warnings;

use Carp qw(croak);
use File::Temp qw(tempdir);
use Integ::Test qw(free_port slurp spew wait_until);
use IO::Socket::INET;
use Test::More;

my @running;
my $default_location = q(default_type application/json; return 200 '{"ok": true, "data": {"id": 1, "name": "one"}}';);

# Whether nginx is installed; a test that needs it skips otherwise.
sub available
{
	return -x '/usr/sbin/nginx';
}

sub start
{
	my ($class, %options) = @_;
	my $dir = tempdir('nginx-XXXXXX', TMPDIR => 1, CLEANUP => 1);
	my $self = bless { owner => $$, dir => $dir, log => "$dir/access.log" }, $class;

	# Another process may take a free port before nginx does: then others are tried.
	for my $try (1 .. 5)
	{
		$self->_configure(%options);
		system("/usr/sbin/nginx -e '$dir/error.log' -p '$dir' -c '$dir/nginx.conf' >'$dir/out' 2>&1") == 0
		  and last;
		croak "nginx did not start: " . slurp("$dir/out") if $try == 5;
	}
	push @running, $self;
	wait_until('nginx to start', sub { -s "$dir/nginx.pid" });
	wait_until('nginx to answer',
		sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port) });
	return $self;
}

sub _configure
{
	my ($self, %options) = @_;
	my $dir = $self->{dir};
	my %locations = %{ $options{locations} // { '/json' => $default_location } };
	my $locations = join "\n", map { "location $_ { $locations{$_} }" } sort keys %locations;
	my $http2 = $options{http2} ? ' http2' : '';
	my $servers = '';

	$self->{ports} = { plain => free_port() };
	$servers .= "server { listen 127.0.0.1:$self->{ports}{plain}; $locations }\n";
	for my $name (sort keys %{ $options{tls} // {} })
	{
		my ($cert, $key) = @{ $options{tls}{$name} };
		$self->{ports}{$name} = free_port();
		$servers .= "server { listen 127.0.0.1:$self->{ports}{$name} ssl$http2;"
		  . " ssl_certificate $cert; ssl_certificate_key $key; $locations }\n";
	}
	my $extra = $options{http} // '';
	spew("$dir/nginx.conf", <<"CONF");
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 512; }
http {
log_format short '\$request_method \$request_uri \$server_protocol \$status \$connection \$connection_requests';
access_log $dir/access.log short;
client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
keepalive_requests 1000000; keepalive_timeout 60s;
ssl_session_cache shared:s:1m;
$extra
$servers}
CONF
	return;
}

sub port
{
	my ($self, $name) = @_;
	return $self->{ports}{ $name // 'plain' } // croak "no such port";
}

sub url
{
	my ($self, $path, @options) = @_;
	croak 'url takes a path and tls => NAME' if @options % 2;
	my %options = @options;
	return defined $options{tls}
	  ? sprintf('https://localhost:%d%s', $self->port($options{tls}), $path // '')
	  : sprintf('http://127.0.0.1:%d%s', $self->port, $path // '');
}

sub requests
{
	my ($self) = @_;
	return split /\n/, slurp($self->{log});
}

sub stop
{
	my ($self) = @_;
	my $pid_file = "$self->{dir}/nginx.pid";

	if (-s $pid_file)
	{
		chomp(my $pid = slurp($pid_file));
		kill 'TERM', $pid;
		wait_until('nginx to end', sub { !kill 0, $pid });
	}
	return;
}

END
{
	local $?;
	# A forked child of the test must not end its parent's server.
	$_->stop for grep { $_->{owner} == $$ } @running;
}

1;
