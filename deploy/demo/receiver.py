"""A build service that does nothing but listen: HTTPS, and only for who shows a certificate of our CA.

Usage: receiver.py PORT CA CERTIFICATE KEY DIRECTORY

Writes each webhook to DIRECTORY/headers and DIRECTORY/body, the headers last, and answers 200.
"""

import http.server
import pathlib
import ssl
import sys

port, ca, certificate, key, directory = sys.argv[1:]


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
        head = [f"{self.requestline}", f"client-certificate: {subject.get('commonName')}"]
        head += [f"{name.lower()}: {value}" for name, value in self.headers.items()]
        where = pathlib.Path(directory)
        (where / "body").write_bytes(body)
        (where / "headers.new").write_text("\n".join(head) + "\n")
        (where / "headers.new").rename(where / "headers")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain(certificate, key)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
