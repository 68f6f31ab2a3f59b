#!/usr/bin/env bash
# The rows of a pull request and those of the branch that it would be merged into, as plain files:
#
#   fetch-rows.sh REPOSITORY NUMBER HEAD OUT     ->  OUT/submission/leaderboard/results, OUT/base/leaderboard/results
#
# REPOSITORY  address of the repository that the pull request is to
# NUMBER      of the pull request
# HEAD        full hash of the commit of the pull request that was looked at; another one is refused
# OUT         a folder that does not exist yet
#
# The pull request is data. Blobs are copied byte for byte: there is no work tree, so no .gitattributes, filter, hook or
# submodule of it takes effect, and no .lfsconfig either, as large files come from REPOSITORY whatever it says. Both
# sides are those of the merge that GitHub made, so that rows which landed meanwhile are neither lost nor compared twice.
set -euo pipefail

fail() { echo "fetch-rows: $1" >&2; exit 1; }

[ $# -eq 4 ] || fail "expected REPOSITORY NUMBER HEAD OUT, got $# arguments"
repository=$1 number=$2 head=$3 out=$4
[[ $number =~ ^[1-9][0-9]{0,8}$ ]] || fail "NUMBER is not the number of a pull request"
[[ $head =~ ^[0-9a-f]{40}$ ]] || fail "HEAD is not a full hash of 40 hexadecimal digits"
[ ! -e "$out" ] || fail "OUT exists; name a folder that does not"

max_bytes=$((512 << 20)) # MAX_BYTES of leaderboard/vectors.py
pointer='version https://git-lfs.github.com/spec/v1'
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
mkdir -p "$out"
git init --quiet --bare "$out/git"
cd "$out"
export GIT_DIR=git
git config lfs.url "$repository/info/lfs"
git config fetch.fsckObjects true
git fetch --quiet --no-tags --no-recurse-submodules --depth=2 "$repository" "+refs/pull/$number/merge:refs/heads/merge" ||
  fail "no merge of pull request $number; it has conflicts, or is closed, or there is none"
[ "$(git rev-parse refs/heads/merge^2)" = "$head" ] || fail "the pull request is not at HEAD any more; look at it again"

copy() { # COMMIT FOLDER
  local mode kind hash size path
  git ls-tree -r -z --long --full-tree "$1" -- leaderboard/results > files
  mkdir -p "$2/leaderboard/results"
  while IFS=$' \t' read -r -d '' mode kind hash size path; do
    [[ $path =~ ^leaderboard/results(/[A-Za-z0-9][A-Za-z0-9._-]*)+$ ]] || fail "a path that no row has"
    [[ $kind = blob && $mode = 100* ]] || fail "$path is a link or a submodule, expected a plain file"
    [ "$size" -le "$max_bytes" ] || fail "$path has $size bytes, expected $max_bytes at most"
    mkdir -p "$2/${path%/*}"
    git cat-file blob "$hash" > "$2/$path"
    if [ "$size" -lt 1024 ] && [ "$(head -c ${#pointer} "$2/$path" | tr -d '\0')" = "$pointer" ]; then
      size=$(sed -n 's/^size \([0-9]\{1,12\}\)$/\1/p' "$2/$path")
      [ "${size:-$((max_bytes + 1))}" -le "$max_bytes" ] || fail "$path stands for more than $max_bytes bytes"
      git lfs smudge < "$2/$path" > "$2/$path.part"
      mv "$2/$path.part" "$2/$path"
    fi
  done < files
}
copy refs/heads/merge submission
copy refs/heads/merge^1 base
rm -rf git files
