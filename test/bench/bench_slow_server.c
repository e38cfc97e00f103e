/*
 * A service with a latency and nothing else: answers each request so many milliseconds after it has arrived, on any
 * number of connections.
 *
 *		bench_slow_server MILLISECONDS
 *
 * Prints its port, and ends when its standard input does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"ok\": true}";

/* By descriptor: when its answer is due, microseconds; 0: none is. */
static long long due[MOST];

static long long
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static int
listen_anywhere(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (listener < 0 || bind(listener, (struct sockaddr *) &address, len) != 0 || listen(listener, 512) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &len) != 0)
	{
		perror("bench_slow_server");
		exit(1);
	}
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return listener;
}

static void
watch(int epoll, int descriptor)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0)
		exit(1);
}

static void
accept_all(int epoll, int listener)
{
	int client, one = 1;

	while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
	{
		if (client >= MOST)
			exit(1);
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		due[client] = 0;
		watch(epoll, client);
	}
}

/* Requests are small, and come whole and one at a time. */
static void
read_request(int client, long long latency)
{
	char buffer[65536];
	ssize_t len = read(client, buffer, sizeof(buffer));

	if (len <= 0)
	{
		due[client] = 0;
		close(client);
	}
	else
		due[client] = now_us() + latency;
}

/* Sends what is due; the milliseconds until the next is. */
static int
answer_due(void)
{
	long long now = now_us(), next = -1;

	for (int client = 0; client < MOST; client++)
	{
		if (due[client] == 0)
			continue;
		if (due[client] <= now)
		{
			due[client] = 0;
			if (write(client, answer, strlen(answer)) < 0)
				close(client);
		}
		else if (next < 0 || due[client] < next)
			next = due[client];
	}
	return next < 0 ? -1 : (int) ((next - now + 999) / 1000);
}

int
main(int argc, char **argv)
{
	long long latency = argc > 1 ? atoll(argv[1]) * 1000 : 0;
	int epoll = epoll_create1(0), listener = listen_anywhere();

	watch(epoll, listener);
	watch(epoll, STDIN_FILENO);
	for (;;)
	{
		struct epoll_event events[64];
		int count = epoll_wait(epoll, events, 64, answer_due());

		for (int i = 0; i < count; i++)
		{
			if (events[i].data.fd == STDIN_FILENO)
				return 0;
			if (events[i].data.fd == listener)
				accept_all(epoll, listener);
			else
				read_request(events[i].data.fd, latency);
		}
	}
}
