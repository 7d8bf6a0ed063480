"""Are these webhooks genuine by the libraries of others?

Standard input: a list of {"scheme", "secret", "url", "headers", "body"}, and what else a scheme needs. By
`standardwebhooks`, `cryptography` (Ed25519), `http-message-signatures` (RFC 9421), `PyJWT`, and `hmac`, `hashlib`
and `urllib` of Python itself. Prints one line for each that is not, and then exits with 1.
"""

import base64
import hashlib
import hmac
import json
import sys
import urllib.parse

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from standardwebhooks.webhooks import Webhook

FORM = PublicFormat.SubjectPublicKeyInfo


def equal(one, other):
    assert hmac.compare_digest(one.encode(), other.encode()), f"{one!r} is not {other!r}"


def hexadecimal(asked, digest):
    return hmac.new(asked["secret"].encode(), asked["body"].encode(), digest).hexdigest()


def ed25519_signature(asked):
    headers = asked["headers"]
    key = next(key for key in asked["keys"]["keys"] if key["kty"] == "OKP")
    text = f'{headers["webhook-id"]}.{headers["webhook-timestamp"]}.{asked["body"]}'
    signature = [entry[4:] for entry in headers["webhook-signature"].split(" ") if entry.startswith("v1a,")]
    raw = base64.urlsafe_b64decode(key["x"] + "=")
    equal(key["webhook"], "whpk_" + base64.b64encode(raw).decode())
    public = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    public.verify(base64.b64decode(signature[0]), text.encode())


class Leaf(HTTPSignatureKeyResolver):
    def __init__(self, der):
        self.der = der

    def resolve_public_key(self, key_id):
        digest = hashlib.sha256(self.der).digest()
        equal(key_id, base64.urlsafe_b64encode(digest).decode().rstrip("="))
        return x509.load_der_x509_certificate(self.der).public_key()


class Message:
    def __init__(self, asked):
        self.method, self.url, self.headers = "POST", asked["url"], asked["headers"]


def message(asked):
    chain = [item.strip()[1:-1] for item in asked["headers"]["webhook-certificate"].split(",")]
    der = base64.b64decode(chain[0])
    leaf = x509.load_der_x509_certificate(der)
    if "ca" in asked:
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(asked["ca"].encode()))
    key = leaf.public_key()
    by = {
        rsa.RSAPublicKey: algorithms.RSA_PSS_SHA512,
        ed25519.Ed25519PublicKey: algorithms.ED25519,
        ec.EllipticCurvePublicKey: algorithms.ECDSA_P256_SHA256,
    }
    algorithm = next(algorithm for kind, algorithm in by.items() if isinstance(key, kind))
    verifier = HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=Leaf(der))
    result = verifier.verify(Message(asked))[0]
    assert result.parameters["tag"] == "pushbell", result
    covered = str(result.covered_components)
    for name in ["@method", "@target-uri", "content-digest", "webhook-id", "webhook-certificate"]:
        assert name in covered, covered
    digest = base64.b64encode(hashlib.sha256(asked["body"].encode()).digest()).decode()
    equal(asked["headers"]["content-digest"], f"sha-256=:{digest}:")
    published = next(key for key in asked["keys"]["keys"] if key["kid"] == result.parameters["keyid"])
    equal(published["x5c"][0], chain[0])
    members = jwt.PyJWK(published, algorithm=asked["jose"]).key
    assert members.public_bytes(Encoding.DER, FORM) == key.public_bytes(Encoding.DER, FORM)


def token(asked):
    scheme, value = asked["headers"]["authorization"].split(" ")
    assert scheme == "Bearer"
    key = jwt.PyJWK(asked["keys"]["keys"][0])
    claims = jwt.decode(value, key, algorithms=["RS256"], audience=asked["audience"], issuer=asked["issuer"])
    equal(claims["sub"], "system:serviceaccount:ci:pushbell")


def basic(asked):
    scheme, value = asked["headers"]["authorization"].split(" ")
    assert scheme == "Basic"
    equal(base64.b64decode(value).decode(), f'{asked["username"]}:{asked["secret"]}')


def query(asked):
    given = urllib.parse.parse_qs(urllib.parse.urlsplit(asked["url"]).query, strict_parsing=True)
    equal(given[asked["parameter"]][0], asked["secret"])


def path(asked):
    whole = urllib.parse.unquote(urllib.parse.urlsplit(asked["url"]).path)
    equal(whole, asked["path"].replace("SECRET", asked["secret"]))


def header(name, prefix=""):
    return lambda asked: equal(asked["headers"][name], prefix + asked["secret"])


def mac(name, prefix, digest):
    return lambda asked: equal(asked["headers"][name], prefix + hexadecimal(asked, digest))


SCHEMES = {
    "standard-webhooks": lambda asked: Webhook(asked["secret"]).verify(asked["body"], asked["headers"]),
    "ed25519": ed25519_signature,
    "http-message-signatures": message,
    "github-sha256": mac("x-hub-signature-256", "sha256=", "sha256"),
    "flux-hmac": mac("x-signature", "sha512=", "sha512"),
    "jfrog-signed": mac("x-jfrog-event-auth", "", "sha256"),
    "nexus-sha1": mac("x-nexus-webhook-signature", "", "sha1"),
    "jfrog-token": header("x-jfrog-event-auth"),
    "static-authorization": header("authorization"),
    "bearer": header("authorization", "Bearer "),
    "gitlab-token": header("x-gitlab-token"),
    "shared-header": header("x-webhook-secret"),
    "basic": basic,
    "query-secret": query,
    "path-secret": path,
    "oidc": token,
}

wrong = 0
for asked in json.load(sys.stdin):
    try:
        SCHEMES[asked["scheme"]](asked)
    except Exception as error:  # whatever a library says no with
        wrong += 1
        print(f'{asked["scheme"]}: {type(error).__name__}: {error}')
sys.exit(1 if wrong else 0)
