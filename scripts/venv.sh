# shellcheck shell=bash
# Sourced by the other scripts: goes to the project's root and gives them `use_venv LOCKFILE` and `run_of_backups MODULE`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
# A relative DATA_DIR is meant from where the command was typed.
case ${DATA_DIR:-/} in /*) ;; *) export DATA_DIR="$PWD/$DATA_DIR" ;; esac
export CALLED_FROM=$PWD
cd "$root" || exit 1

# Prints a Python that the project runs on and that can make virtual environments. A shim in front of no Python fails and is passed over.
find_python() {
  local name seen='' version
  for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $version in
      3.11 | 3.12 | 3.13)
        if "$name" -c 'import ensurepip, venv' 2>/dev/null; then
          "$name" -c 'import sys; print(sys.executable)'
          return
        fi
        seen="$seen $version (without the venv module: install python3-venv)"
        ;;
      *) seen="$seen $version" ;;
    esac
  done
  echo "Python 3.11, 3.12 or 3.13 is needed; found:${seen:- none}." >&2
  return 1
}

# Makes .venv hold what the lock file says.
use_venv() {
  local python=.venv/bin/python
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || python=$(find_python) || exit 1
  "$python" scripts/venv.py "$1" || exit 1
}

# Call run_of_backups MODULE ARGUMENT...: becomes it.
run_of_backups() {
  local python=.venv/bin/python module=$1
  shift
  # Beside containers nothing of ours needs to be installed; on a machine of its own it is, and nothing is fetched at night.
  if [[ " $* " == *" --compose "* || ! -x $python ]]; then python=$(find_python) || exit 1; fi
  exec env PYTHONPATH="$root" FLASK_APP=wsgi:app "$python" -m "scripts.backups.$module" "$@"
}
