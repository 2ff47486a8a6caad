"""An OpenID Connect issuer as far as a gateway sees it: signed tokens and a JWKS on a port."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

NOW = 1_800_000_000.0
ISSUER = "https://login.example.com"
AUDIENCE = "byline"


class Signer:
    """An issuer's private key; its public half as a JWK."""

    def __init__(self, kid: str, algorithm: str = "ES256") -> None:
        self.kid = kid
        self.algorithm = algorithm
        if algorithm.startswith("ES"):
            self.private = ec.generate_private_key(ec.SECP256R1())
            public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        else:
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        self.jwk = {**public, "kid": kid, "use": "sig"}

    def token(self, headers: dict | None = None, **claims: object) -> bytes:
        body = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 3600, "sub": "alice-id", **claims}
        body = {name: value for name, value in body.items() if value is not None}
        signed = jwt.encode(body, self.private, self.algorithm, headers={"kid": self.kid, **(headers or {})})
        return signed.encode()


class JwksServer:
    """Serves whatever `body` holds, and counts how often it was asked."""

    def __init__(self) -> None:
        self.body = b'{"keys": []}'
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def publish(self, *signers: Signer) -> None:
        self.body = json.dumps({"keys": [signer.jwk for signer in signers]}).encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
