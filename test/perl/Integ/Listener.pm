# The listener of a cluster's database "postgres", and what tests send to it.
#
#   my $listener = Integ::Listener->start($node);      # on a free port; returns when it listens
#   $listener->url('/healthz');
#   my $answer = $listener->post('/webhooks/shop/main', $body, 'x-shop-signature' => $hex);   # as HTTP::Tiny answers
#   my $line = $listener->raw("GET / HTTP/1.1\r\n…");  # the answer's first line; undef: the connection was closed
package Integ::Listener;

use strict;
use warnings;

use HTTP::Tiny;
use Integ::Test qw(free_port wait_until);
use IO::Socket::INET;

sub start
{
	my ($class, $node, %options) = @_;
	my $self = bless { node => $node, port => $options{port} // free_port(),
		http => HTTP::Tiny->new(timeout => 60, max_redirect => 0, keep_alive => $options{keep_alive} // 1) }, $class;

	$node->safe_psql('postgres', "ALTER DATABASE postgres SET integ.listen_port = $self->{port}");
	wait_until('the listener to listen', sub { $self->socket });
	return $self;
}

sub port { return $_[0]->{port} }
sub url { return "http://127.0.0.1:$_[0]->{port}" . ($_[1] // '') }

# A connection, or undef.
sub socket
{
	my ($self) = @_;
	return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 10);
}

sub get
{
	my ($self, $path, %headers) = @_;
	return $self->{http}->get($self->url($path), { headers => \%headers });
}

sub post
{
	my ($self, $path, $body, %headers) = @_;
	return $self->{http}->post($self->url($path), { content => $body,
		headers => { 'content-type' => 'application/json', %headers } });
}

sub raw
{
	my ($self, $text) = @_;
	my $socket = $self->socket or return;
	local $SIG{PIPE} = 'IGNORE';
	print $socket $text;
	my $line = <$socket>;
	return defined $line ? $line =~ s/\r?\n//r : undef;
}

1;
