"""The site on WSGI, a thread for each request: `python -m tests.sites.wsgi`."""

from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

from django.core.wsgi import get_wsgi_application


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


if __name__ == "__main__":
    with make_server("127.0.0.1", 0, get_wsgi_application(), Server) as server:
        print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
