# shellcheck shell=bash
# PROFILE=gpu: what loads the models of the plan. Each kind of engine has an environment of its own, for
# their packages do not go together, made of requirements-NAME.lock with its hashes. It is named by that
# lock, so that an upgrade which leaves the lock alone leaves the environment alone; else it is built
# beside the old one and switched by one rename. Then models that came in another form are converted, and
# last the settings are written, so that ivr-pools starts what is whole.

ENGINES=$OPT/engines
GENTLY=(nice -n 15) # calls may be in progress: it takes what they leave
engines_planned() { ! with_gpu || cat "$STATE/engines.plan"; }
engines_settings() { ! with_gpu || cat "$STATE/engines.settings"; } # all that we have below engines.: an older plan's go
engine_lock() { echo "$(source_root)/requirements-$1.lock"; }

# engine_modules NAME: what it must be able to import.
engine_modules() {
    case $1 in
        stt) echo ctranslate2 faster_whisper transformers ;;
        wav2vec2) echo torch transformers pyctcdecode kenlm ;;
        tts) echo TTS torch ;;
        llm) echo vllm ;;
    esac
}

# engine_folder NAME: of its lock and the Python that it is made with.
engine_folder() {
    local python
    python=$(find_python)
    echo "$ENGINES/$1-$({ cat "$(engine_lock "$1")" && "$python" --version; } | sha256sum | cut -c 1-12)"
}

engine_is_whole() { [ -f "$1/lock" ] && [ "$("$1/bin/python" -c 'print(1)')" = 1 ]; }

engines_done() {
    local name folder models
    for name in $(engines_planned); do
        folder=$(engine_folder "$name")
        engine_is_whole "$folder" && [ "$(readlink "$ENGINES/$name")" = "${folder##*/}" ] || return 1
    done
    models=$(models_to_convert) && [ -z "$models" ] &&
        engines_settings | python3 "$PARTS/merge.py" --check --all-of engines. "$SETTINGS" "$MEMORY"
}

engines_do() {
    local name folder model names models
    ! with_gpu || mkdir -p "$ENGINES"
    names=$(engines_planned)
    for name in $names; do
        folder=$(engine_folder "$name")
        engine_is_whole "$folder" || build_engine "$name" "$folder"
        ln -sfn "${folder##*/}" "$ENGINES/$name.new"
        mv -fT "$ENGINES/$name.new" "$ENGINES/$name"
    done
    models=$(models_to_convert)
    for model in $models; do
        ivr models convert "$model" --python "$ENGINES/stt/bin/python"
    done
    engines_settings | change_settings --all-of engines.
}

# build_engine NAME FOLDER
build_engine() {
    local name=$1 folder=$2 python pip from=()
    python=$(find_python)
    rm -rf "$folder"
    "$python" -m venv --without-pip "$folder"
    # Some gigabytes: /tmp may be memory.
    mkdir -p "$ENGINES/.tmp"
    pip=("${GENTLY[@]}" env "TMPDIR=$ENGINES/.tmp" "$CURRENT/.venv/bin/python" -m pip --python "$folder/bin/python"
        --disable-pip-version-check --no-input install --no-cache-dir --no-compile --quiet --no-deps --require-hashes)
    if [ -n "${BUNDLE:-}" ]; then
        [ -f "$BUNDLE/about/engines-$name.txt" ] || {
            echo "the bundle has no packages of the engines ($name): it was made without --with-engines"
            return 1
        }
        bundle_fits "$python"
        "${pip[@]}" --no-index --find-links "$BUNDLE/engines" -r "$BUNDLE/about/engines-$name.txt"
    else
        [ -z "${WHEELS:-}" ] || from=(--no-index --find-links "$WHEELS")
        "${pip[@]}" "${from[@]}" -r "$(engine_lock "$name")"
    fi
    rm -rf "$ENGINES/.tmp"
    # shellcheck disable=SC2046  # a word each
    (cd / && "$folder/bin/python" -c 'import importlib, sys; [importlib.import_module(n) for n in sys.argv[1:]]' \
        $(engine_modules "$name"))
    "${GENTLY[@]}" "$folder/bin/python" -m compileall -q -j 0 "$folder/lib" >/dev/null || true
    sync -f "$folder"
    write_file "$folder/lock" 644 root:root <"$(engine_lock "$name")" # last: it is whole, and ivr doctor sees of what
}

# Of the plan's models, those that were fetched in a form that their engine does not load.
models_to_convert() {
    with_gpu || return 0
    ivr models list --json | tail -n 1 | python3 -c '
import json, sys
wanted = open(sys.argv[1]).read().split()
for model in json.load(sys.stdin)["models"]:
    if model["name"] in wanted and model["state"] == "fetched, to be converted":
        print(model["name"])' "$STATE/models.plan"
}

# What is half made goes; what was whole before is in force still.
engines_undo() {
    local folder
    for folder in "$ENGINES"/*-*; do [ ! -d "$folder" ] || [ -f "$folder/lock" ] || rm -rf "$folder"; done
    rm -rf "$ENGINES/.tmp"
    settings_undo
}

# Of older locks. start.sh calls it when nothing runs from them any more.
prune_engines() {
    local folder name
    for folder in "$ENGINES"/*-*; do
        name=${folder##*/}
        [ ! -d "$folder" ] || [ "$(readlink "$ENGINES/${name%-*}")" = "$name" ] || rm -rf "$folder"
    done
}

engines_plan() {
    if with_gpu; then echo "environments of the plan's engines in $ENGINES, and their settings"; else echo "those of the release alone"; fi
}
engines_fix() {
    echo "a hash that does not match, a name that is not found: as for the step python; no space: make room on /opt" \
        "(some $((ENGINES_DISK_MB / 1000)) GB); it goes on with the environment that it was at."
}
