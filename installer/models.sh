# shellcheck shell=bash
# Models. PROFILE=demo needs none beyond those in the wheels. PROFILE=gpu asks `ivr models plan` what
# fits on this GPU for the languages and pulls that (from the internet, the bundle or a folder). What
# loads them is made by the step after this one (engines.sh).

models_wanted() { # names, one a line, of the plan that was made
    with_gpu && [ -f "$STATE/models.plan" ] && cat "$STATE/models.plan"
}

models_done() {
    with_gpu || return 0
    [ "$(cat "$STATE/models.told" 2>/dev/null)" = "$(models_told)" ]
}
models_told() { echo "${ANSWER[LANGUAGES]} ${ANSWER[GPU_CALLS]} $(readlink "$CURRENT")"; }

models_do() {
    local plan name source
    plan=$(ivr models plan --calls "${ANSWER[GPU_CALLS]}" --languages "${ANSWER[LANGUAGES]}" --json | tail -n 1)
    python3 "$PARTS/modelplan.py" "$STATE" "$ENGINES" <<<"$plan"
    source=${ANSWER[MODELS_FOLDER]}
    [ -n "$source" ] || { [ -n "$BUNDLE" ] && [ -d "$BUNDLE/models" ] && source=$BUNDLE/models; }
    while read -r name; do
        if [ -n "$source" ] && [ -e "$source/$name" ]; then
            ivr models pull "$name" --from "$source/$name"
        else
            [ -z "${OFFLINE:-}" ] || {
                echo "the bundle holds no model $name, and MODELS_FOLDER has none"
                return 1
            }
            ivr models pull "$name"
        fi
    done < <(models_wanted)
    models_told >"$STATE/models.told"
}

models_undo() { :; } # what was fetched is fetched; the next run goes on there
models_plan() {
    if with_gpu; then
        echo "what \`ivr models plan\` says for ${ANSWER[LANGUAGES]}, ${ANSWER[GPU_CALLS]} calls"
    else
        echo "none to fetch: the engines for demos and tests"
    fi
}
models_fix() {
    echo "it goes on where it broke off; without the internet: MODELS_FOLDER=… with one folder a model" \
        "(docs/models.md); if it does not fit, fewer GPU_CALLS or LANGUAGES."
}
