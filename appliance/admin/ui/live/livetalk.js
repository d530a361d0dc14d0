// The transcript of one call in progress, following its end unless somebody has scrolled up.
export default {
  template: `
    <div class="live-talk" role="log" aria-live="off" :aria-label="words.transcript" ref="box" tabindex="0">
      <div v-for="(line, i) in lines" :key="i" class="live-line" :class="'live-line--' + line.who">
        <div v-if="line.who === 'note'" class="muted small">{{ clock(line.at_ms) }} · {{ line.text }}</div>
        <div v-else-if="line.who === 'supervisor'" class="notice notice--warn live-whisper">
          <q-icon name="record_voice_over" size="16px" aria-hidden="true" /> {{ words.supervisor }}: {{ line.text }}</div>
        <template v-else>
          <div class="bubble" :class="'bubble--' + line.who + (line.turn ? '' : ' bubble--now')"><span class="bubble-words">{{ line.text }}</span>
            <span v-if="line.cut" class="bubble-cut"> — {{ words.cut }}</span></div>
          <div v-if="line.who === 'agent' && (line.gap_ms !== null || line.found.length || line.failure)" class="turn-notes live-notes">
            <span v-if="line.gap_ms !== null" class="chip num" :class="grade(line.gap_ms)" :title="words.gap">{{ line.gap_ms }} ms</span>
            <span v-for="heading in line.found.slice(0, 1)" class="chip" :title="words.found"><span class="ellipsis">{{ heading }}</span></span>
            <span v-if="line.failure" class="turn-failure">{{ line.failure }}</span></div>
        </template>
      </div>
      <div v-if="hearing" class="live-line live-line--caller"><div class="bubble bubble--caller bubble--now"><span class="bubble-words">{{ hearing }} …</span></div></div>
      <div v-if="!lines.length && !hearing" class="muted live-hint">{{ words.nothing }}</div>
    </div>`,
  props: { words: Object },
  data() { return { lines: [], hearing: "" }; },
  methods: {
    show(lines, hearing) {
      const box = this.$refs.box;
      const below = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
      this.lines = lines;
      this.hearing = hearing;
      if (below) this.$nextTick(() => { box.scrollTop = box.scrollHeight; });
    },
    clock(ms) {
      const s = Math.floor(ms / 1000);
      return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
    },
    grade(gap) { return gap >= 1500 ? "chip--bad" : gap >= 800 ? "chip--warn" : "chip--good"; },
  },
};
