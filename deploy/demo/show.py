"""Prints a JSON object as people read it: a field is never torn apart, and nested ones stand below their name.

Usage: show.py FILE
"""

import json
import sys

WIDTH = 112


def show(fields: dict, indent: str) -> None:
    line = indent
    for name, value in fields.items():
        if name == "data":
            print(line.rstrip())
            print(f'{indent}"data": {{')
            show(value, indent + "  ")
            print(f"{indent}}}")
            return
        text = f"{json.dumps(name)}: {json.dumps(value)}, "
        if len(line) + len(text) > WIDTH and line.strip():
            print(line.rstrip())
            line = indent
        line += text
    print(line.rstrip(", "))


with open(sys.argv[1]) as file:
    show(json.load(file), "  ")
