"""Does a document follow a JSON Schema, by `jsonschema`?

Standard input: {"schema": object, "document": any}. Exit code 0 if it does; else 1, and every problem on
standard error. A schema that is not one is exit code 2.
"""

import json
import sys

import jsonschema

asked = json.load(sys.stdin)
validator = jsonschema.validators.validator_for(asked["schema"])
try:
    validator.check_schema(asked["schema"])
except jsonschema.SchemaError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
problems = list(validator(asked["schema"]).iter_errors(asked["document"]))
for problem in problems:
    print(f"{problem.json_path}: {problem.message}", file=sys.stderr)
sys.exit(1 if problems else 0)
