"""An issuer of OIDC tokens, by `PyJWT` and `cryptography`.

Standard input: a list of claims. Prints {"keys": a JSON Web Key Set, "tokens": one for each of the claims}.
"""

import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
public.update({"kid": "test", "alg": "RS256", "use": "sig"})
tokens = [jwt.encode(claims, key, algorithm="RS256", headers={"kid": "test"}) for claims in json.load(sys.stdin)]
json.dump({"keys": {"keys": [public]}, "tokens": tokens}, sys.stdout)
