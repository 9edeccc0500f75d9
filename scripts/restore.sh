#!/usr/bin/env bash
# Restores a backup that scripts/backup.sh made: `scripts/restore.sh --help` tells more, docs/backups.md all.
set -euo pipefail
# shellcheck source=scripts/venv.sh
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
run_of_backups restore "$@"
