# A real authorization server, and the person in front of it.
#
#   my $server = Integ::Authorization->start(accessTokenTtl => 3600);
#   $server->url('/token');
#   my %params = $server->agree($authorization_url);   # code, state, iss … of the redirect
#   $server->counts->{'refresh_token granted'};
#   $server->define($node, 'oidc', tokenEndpointAuthMethod => 'none');   # a definition with its method "me"
package Integ::Authorization;

use strict;
use warnings;

use Carp qw(croak);
use HTTP::Tiny;
use Integ::Node;
use Integ::Test qw(free_port source_file);
use JSON::PP;

sub start
{
	my ($class, %options) = @_;
	my $port = free_port();
	my $node = Integ::Node->start('oidc', source_file('test/oidc/server.mjs'),
		args => [ encode_json({ port => $port + 0, %options }) ], ready => qr/ready/);

	return bless { port => $port, redirect => $options{redirectUri} // 'http://127.0.0.1:9/callback', node => $node, http => HTTP::Tiny->new(max_redirect => 0) }, $class;
}

sub port { return $_[0]->{port} }
sub url { return "http://127.0.0.1:$_[0]->{port}" . ($_[1] // '') }
sub stop { $_[0]->{node}->stop; return }

sub counts
{
	my ($self) = @_;
	my $counts = decode_json($self->{http}->get($self->url('/tokens'))->{content});
	return wantarray ? %$counts : $counts;
}

# A person follows the URL with a browser until it would leave the server.
sub agree
{
	my ($self, $url) = @_;
	my %cookies;

	for (1 .. 12)
	{
		my $cookie = join '; ', map { "$_=$cookies{$_}" } sort keys %cookies;
		my $answer = $self->{http}->get($url, { headers => { Cookie => $cookie } });
		my $set = $answer->{headers}{'set-cookie'} // [];

		for (ref $set ? @$set : $set)
		{
			my ($name, $value) = /^([^=]+)=([^;]*)/ or next;
			$cookies{$name} = $value;
			delete $cookies{$name} if $value eq '' || /expires=Thu, 01 Jan 1970/;
		}
		my $next = $answer->{headers}{location} // croak "no redirect from $url: $answer->{status} $answer->{content}";
		$next = $self->url($next) if $next =~ m{^/};
		return _parameters($next) unless index($next, $self->url) == 0;
		$url = $next;
	}
	croak 'too many redirects';
}

# Defines, in the database "postgres" of a cluster, a service whose API and authorization server this is.
sub define
{
	my ($self, $node, $id, %oauth) = @_;
	my $manifest = encode_json({
			integrationId => $id, name => $id, version => '1.0.0', category => 'custom',
			baseUrl => $self->url, authType => 'oauth2',
			oauth2Config => {
				authorizationUrl => $self->url('/auth'), tokenUrl => $self->url('/token'),
				revokeUrl => $self->url('/token/revocation'), issuer => $self->url,
				deviceAuthorizationUrl => $self->url('/device/auth'),
				scopes => [qw(openid offline_access read)], redirectUri => $self->{redirect},
				additionalParameters => { prompt => 'consent' }, %oauth },
			methods => [ { id => 'me', name => 'Me', access => 'read', inputSchema => {}, outputSchema => {},
				request => { method => 'GET', path => '/me' } } ] });

	$node->safe_psql('postgres', "SELECT integ_define(\$\$$manifest\$\$)");
	return;
}

sub _parameters
{
	my ($url) = @_;
	my ($query) = $url =~ /\?([^#]*)/;
	my %parameters;

	for my $pair (split /&/, $query // '')
	{
		my ($name, $value) = split /=/, $pair, 2;
		$value =~ tr/+/ /;
		$value =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
		$parameters{$name} = $value;
	}
	return %parameters;
}

1;
