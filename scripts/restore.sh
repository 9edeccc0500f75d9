#!/usr/bin/env bash
# Restores a backup that scripts/backup.sh made: `scripts/restore.sh --help` tells more, docs/backups.md all.
set -euo pipefail
export CALLED_FROM=$PWD
# shellcheck source=scripts/venv.sh
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
python=.venv/bin/python
# Beside containers nothing of ours needs to be installed; on a machine of its own it is, and nothing is fetched at night.
if [[ " $* " == *" --compose "* || ! -x $python ]]; then python=$(find_python); fi
exec env PYTHONPATH="$root" FLASK_APP=wsgi:app "$python" -m scripts.backups.restore "$@"
