#!/usr/bin/env bash
# Install the core alone in a new environment, and try every command there. Usage: tests/core_only/install.sh [FOLDER]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$(mktemp -d)}
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/pip" install --quiet --constraint "$root/constraints.txt" "$root"
for extra in torch jsonschema transformers av; do
    ! "$folder/bin/python" -c "import $extra" 2>/dev/null || { echo "the core brings $extra"; exit 1; }
done
cd "$folder"
"$folder/bin/cope" --help > help.txt
"$folder/bin/leaderboard" --help > help.txt
"$folder/bin/python" "$root/tests/core_only/walk.py"
