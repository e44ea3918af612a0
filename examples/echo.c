/* An echo server: any number of connections in one thread, nothing allocated for an operation. A client that
   reads slowly is not read either, so what it costs is one buffer. Try: build/echo, and telnet 127.0.0.1 7000 */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include <arpa/inet.h>
#include <stdlib.h>

typedef struct client {
    stream_io_file file;
    stream_io_op op; /* a read or a write, never both */
    char data[4096];
} client;

int main(void) {
    stream_io io;
    stream_io_file listener = {0};
    stream_io_op incoming = {0}, *op;
    struct sockaddr_in here = {0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    here.sin_family = AF_INET, here.sin_port = htons(7000), here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) != 0 || listen(fd, 128) != 0) return 1;
    if (stream_io_init(&io, NULL) != STREAM_OK || stream_io_attach(&io, &listener, fd) != STREAM_OK) return 1;
    stream_io_accept(&io, &incoming, &listener);
    while (stream_io_wait(&io, STREAM_FOREVER) >= 0)
        while ((op = stream_io_next(&io)) != NULL) {
            client *c = op->verb == STREAM_IO_ACCEPT ? (client *)calloc(1, sizeof *c) : (client *)op->user;
            if (op->verb == STREAM_IO_ACCEPT) {
                if (!c || op->status != STREAM_OK || stream_io_attach(&io, &c->file, op->fd) != STREAM_OK) return 1;
                c->op.user = c;
                stream_io_read(&io, &c->op, &c->file, c->data, sizeof c->data);
                stream_io_accept(&io, op, &listener);
            } else if (op->status != STREAM_OK) { /* the end, or an error: op->os_error */
                stream_io_close(&io, &c->file);
                free(c);
            } else if (op->verb == STREAM_IO_READ) stream_io_write(&io, op, &c->file, c->data, op->bytes);
            else stream_io_read(&io, op, &c->file, c->data, sizeof c->data); /* all of it is written */
        }
    return 1;
}
