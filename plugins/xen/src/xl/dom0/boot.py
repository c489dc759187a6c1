"""Begins the program. Its input (or a file) is a job with the text of all modules, each after those it needs."""

import json
import sys
import types

if sys.argv[1:]:
    with open(sys.argv[1], "rb") as file:
        text = file.read()
else:
    text = sys.stdin.buffer.read()
job = json.loads(text.decode())
for name, source in job["modules"]:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
sys.modules["verbs"].main(job)
