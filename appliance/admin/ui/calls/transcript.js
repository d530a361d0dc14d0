// The turns of a call as bubbles. One component for all of them: a call of a hundred turns is a hundred
// rows of data, not ten thousand elements of the server's. Strangers' words are shown as text alone.

export default {
  template: `
    <div class="transcript" role="log" :aria-label="words.transcript">
      <div v-for="turn in turns" :key="turn.index" class="turn" :data-turn="turn.index">
        <div v-if="turn.said" class="bubble bubble--caller">
          <span v-bind="seeking(turn.said_at)" class="bubble-words" @click="seek(turn.said_at)"
            @keydown.enter="seek(turn.said_at)">{{ turn.said }}</span>
        </div>
        <div v-if="turn.heard || turn.unheard" class="bubble bubble--agent">
          <span v-if="turn.heard" v-bind="seeking(turn.heard_at)" class="bubble-words"
            @click="seek(turn.heard_at)" @keydown.enter="seek(turn.heard_at)">{{ turn.heard }}</span>
          <template v-if="turn.unheard">
            <div class="bubble-unheard">{{ turn.unheard }}</div>
            <div class="bubble-cut">{{ turn.barged_in ? words.cut : words.unheard }}</div>
          </template>
        </div>
        <div class="turn-notes">
          <span v-if="turn.gap" class="chip num" :class="turn.gap_chip" :title="words.gap">{{ turn.gap }}</span>
          <span class="chip">{{ turn.source }}</span>
          <span v-if="turn.barged_in" class="chip">{{ words.interrupted }}</span>
          <a v-for="flag in turn.flags" :key="flag.url" class="chip" :class="flag.chip" :href="flag.url">
            <q-icon name="flag" size="12px" />{{ flag.rule }}</a>
          <button v-if="flaggable && turn.heard" type="button" class="chip chip-plain chip-flag"
            :title="words.flag" :aria-label="words.flag" @click="$emit('flag', turn.index)">
            <q-icon name="outlined_flag" size="14px" /></button>
          <button v-for="(passage, number) in turn.passages" :key="number" type="button"
            class="chip chip-plain" :class="{ 'chip--accent': passage.cited }"
            :title="passage.cited ? words.cited : undefined" :aria-label="passage.place"
            @click="$emit('passage', { turn: turn.index, number })">
            <q-icon name="menu_book" size="12px" /><span class="ellipsis">{{ passage.place }}</span></button>
        </div>
        <div v-if="turn.failure" class="turn-failure" role="alert">{{ turn.failure }}</div>
        <details v-if="turn.bar.length" class="stages">
          <summary class="stages-head">
            <span class="stages-bar" role="img" :aria-label="turn.bar.map((piece) => piece.words).join(', ')">
              <span v-for="(piece, number) in turn.bar" :key="number" class="stages-piece"
                :class="'stage--' + piece.stage" :style="{ width: piece.share + '%' }" :title="piece.words"></span>
            </span>
            <span class="stages-slowest">{{ words.slowest }}: {{ turn.slowest }}</span>
          </summary>
          <dl class="stages-marks">
            <template v-for="mark in turn.marks" :key="mark[0]">
              <dt>{{ mark[0] }}</dt><dd class="mono">{{ mark[1] }}</dd>
            </template>
          </dl>
        </details>
      </div>
    </div>`,
  props: { turns: Array, words: Object, seekable: Boolean, flaggable: Boolean },
  methods: {
    seeking(ms) {
      if (!this.seekable || ms === null) return {};
      return { class: "bubble-words--seek", tabindex: 0, role: "button" };
    },
    seek(ms) {
      if (this.seekable && ms !== null) this.$emit("seek", ms);
    },
    scrollTo(...place) {
      this.$nextTick(() => this.$el.scrollTo(...place));
    },
  },
};
