// A call's recording: caller above, agent below, both on the recording's clock, with its turns, the
// stages of each wait and its flags marked. Words arrive as props and are shown as text, never as HTML.

const LANE_PX = 64;
const STAGES_PX = 14;
const BUCKETS = 1200;
const CLOSEST_MS = 2000; // the narrowest window that zooming shows
const STEP_MS = 5000;
const RATES = [1, 1.25, 1.5, 2];

export default {
  template: `
    <div class="wave">
      <div class="wave-bar">
        <q-btn round dense unelevated color="primary" :icon="playing ? 'pause' : 'play_arrow'"
          :disable="!audioUrl || !!trouble" :aria-label="playing ? words.pause : words.play" @click="toggle" />
        <span class="mono wave-clock">{{ clock(at) }} / {{ clock(length) }}</span>
        <q-btn flat dense no-caps class="mono" :label="rate + '×'" :disable="!audioUrl"
          :aria-label="words.speed" @click="faster" />
        <span class="wave-space"></span>
        <span v-for="key in legend" :key="key" class="wave-key" :class="'wave-key--' + key">{{ words[key] }}</span>
        <q-btn flat round dense icon="zoom_out" :disable="!zoomed" :aria-label="words.out" @click="zoom(0.5)" />
        <q-btn flat round dense icon="zoom_in" :aria-label="words.in" @click="zoom(2)" />
      </div>
      <div ref="field" class="wave-field" tabindex="0" role="slider" :aria-label="words.position"
        aria-valuemin="0" :aria-valuemax="Math.round(length / 1000)" :aria-valuenow="Math.round(at / 1000)"
        :aria-valuetext="clock(at)" @keydown="key" @pointerdown="grab" @pointermove="drag"
        @pointerup="held = false" @pointerleave="hint = ''" @wheel="wheel">
        <canvas ref="canvas" class="wave-canvas"></canvas>
        <div class="wave-head" v-show="headX >= 0" :style="{ transform: 'translateX(' + headX + 'px)' }"></div>
        <span class="wave-side wave-side--caller">{{ words.caller }}</span>
        <span class="wave-side wave-side--agent">{{ words.agent }}</span>
        <span v-if="busy" class="wave-note">{{ words.loading }}</span>
        <span v-if="trouble" class="wave-note wave-note--bad" role="alert">{{ trouble }}</span>
        <span v-if="hint" class="wave-hint">{{ hint }}</span>
      </div>
      <audio ref="audio" v-if="audioUrl" :src="audioUrl" preload="none" @play="playing = true; follow_time()"
        @pause="playing = false" @ended="playing = false" @error="failed"></audio>
    </div>`,
  props: {
    peaksUrl: String,
    audioUrl: String,
    marks: Array,
    durationMs: Number,
    startMs: Number,
    follow: String,
    words: Object,
  },
  data() {
    return {
      at: this.startMs || 0,
      length: this.durationMs || 1,
      from: 0,
      to: this.durationMs || 1,
      width: 0,
      playing: false,
      busy: false,
      trouble: "",
      hint: "",
      rate: 1,
      held: false,
      turn: null,
    };
  },
  computed: {
    zoomed() {
      return this.to - this.from < this.length;
    },
    headX() {
      const x = ((this.at - this.from) / (this.to - this.from)) * this.width;
      return x <= this.width ? x : -1;
    },
    legend() {
      return ["gap", "flag"].filter((kind) => this.marks.some((mark) => mark.kind === kind));
    },
  },
  watch: {
    marks() {
      this.draw();
    },
  },
  mounted() {
    this.peaks = null;
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.$refs.field);
    this.theme = new MutationObserver(() => this.draw());
    this.theme.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    if (this.startMs) this.zoom_to(this.startMs);
    this.load();
  },
  unmounted() {
    this.sizes.disconnect();
    this.theme.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.later);
  },
  methods: {
    async load() {
      if (!this.peaksUrl) return this.draw();
      const asked = (this.asked = `${this.from}-${this.to}`);
      this.busy = !this.peaks;
      try {
        const url = new URL(this.peaksUrl, window.location.href);
        url.searchParams.set("buckets", BUCKETS);
        if (this.zoomed) {
          url.searchParams.set("from_ms", Math.round(this.from));
          url.searchParams.set("to_ms", Math.round(this.to));
        }
        const response = await fetch(url, { credentials: "same-origin" });
        const body = await response.json();
        if (asked !== this.asked) return;
        if (!response.ok) throw new Error(body.error?.message || this.words.failed);
        this.peaks = body;
        if (!this.zoomed) {
          this.length = Math.max(body.duration_ms, 1);
          this.to = this.length;
        }
      } catch (error) {
        this.trouble = error instanceof TypeError ? this.words.failed : error.message;
      } finally {
        this.busy = false;
      }
      this.draw();
    },
    x_of(ms) {
      return ((ms - this.from) / (this.to - this.from)) * this.width;
    },
    ms_at(event) {
      const box = this.$refs.field.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      return this.from + share * (this.to - this.from);
    },
    draw() {
      const canvas = this.$refs.canvas;
      if (!canvas) return;
      const style = getComputedStyle(canvas);
      const colour = (name) => style.getPropertyValue(`--wave-${name}`).trim() || "gray";
      const height = 2 * LANE_PX + STAGES_PX;
      const scale = window.devicePixelRatio || 1;
      this.width = canvas.clientWidth;
      canvas.width = this.width * scale;
      canvas.height = height * scale;
      canvas.style.height = `${height}px`;
      const pen = canvas.getContext("2d");
      pen.scale(scale, scale);
      this.draw_marks(pen, colour, height);
      for (const [side, middle] of [["caller", LANE_PX / 2], ["agent", LANE_PX * 1.5 + STAGES_PX]])
        this.draw_side(pen, colour(side), this.peaks && this.peaks[side], middle);
      this.draw_flags(pen, colour, height);
    },
    draw_side(pen, colour, peaks, middle) {
      pen.fillStyle = colour;
      if (!peaks) return pen.fillRect(0, middle - 0.5, this.width, 1);
      const begin = this.peaks.from_ms, end = this.peaks.to_ms;
      const step = (end - begin) / (peaks.length / 2);
      const half = LANE_PX / 2 - 3;
      for (let i = 0; i < peaks.length; i += 2) {
        const x = this.x_of(begin + (i / 2) * step);
        const next = this.x_of(begin + (i / 2 + 1) * step);
        if (next < 0 || x > this.width) continue;
        const top = middle - (peaks[i + 1] / 127) * half;
        const bottom = middle - (peaks[i] / 127) * half;
        pen.fillRect(x, top, Math.max(next - x, 0.6), Math.max(bottom - top, 1));
      }
    },
    draw_marks(pen, colour, height) {
      const lanes = { caller: [0, LANE_PX], agent: [LANE_PX + STAGES_PX, LANE_PX], gap: [0, height] };
      const order = ["gap", "caller", "agent", "stage", "cut"];
      const sorted = [...this.marks].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
      for (const mark of sorted) {
        const x = this.x_of(mark.begin_ms);
        const width = Math.max(this.x_of(mark.end_ms) - x, 1);
        if (x > this.width || x + width < 0) continue;
        if (mark.kind === "stage") {
          pen.fillStyle = colour(`stage-${mark.stage}`);
          pen.fillRect(x, LANE_PX + 1, width, STAGES_PX - 2);
        } else if (mark.kind === "cut") {
          pen.fillStyle = colour("cut");
          pen.fillRect(x, LANE_PX + STAGES_PX, 2, LANE_PX);
        } else if (lanes[mark.kind]) {
          const [top, tall] = lanes[mark.kind];
          pen.fillStyle = colour(`${mark.kind}-span`);
          pen.fillRect(x, top, width, tall);
        }
      }
    },
    draw_flags(pen, colour, height) {
      for (const mark of this.marks.filter((one) => one.kind === "flag")) {
        const x = this.x_of(mark.begin_ms);
        const width = Math.max(this.x_of(mark.end_ms) - x, 3);
        pen.fillStyle = colour("flag-span");
        pen.fillRect(x, 0, width, height);
        pen.fillStyle = colour("flag");
        pen.beginPath();
        pen.moveTo(x, 0);
        pen.lineTo(x + 10, 0);
        pen.lineTo(x, 10);
        pen.fill();
      }
    },
    grab(event) {
      if (event.button) return;
      this.held = true;
      this.seek(this.ms_at(event));
    },
    drag(event) {
      const ms = this.ms_at(event);
      if (this.held && event.buttons) this.seek(ms);
      const under = this.marks.filter((m) => m.label && m.begin_ms <= ms && ms <= m.end_ms);
      this.hint = under.map((mark) => mark.label).join(" · ");
    },
    wheel(event) {
      if (event.ctrlKey) {
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 1.5 : 1 / 1.5, this.ms_at(event));
      } else if (event.deltaX && this.zoomed) {
        event.preventDefault();
        this.show_from(this.from + (event.deltaX / this.width) * (this.to - this.from));
      }
    },
    key(event) {
      const moves = {
        " ": () => this.toggle(),
        k: () => this.toggle(),
        ArrowLeft: () => this.seek(this.at - STEP_MS),
        ArrowRight: () => this.seek(this.at + STEP_MS),
        ArrowUp: () => this.to_turn(-1),
        ArrowDown: () => this.to_turn(1),
        Home: () => this.seek(0),
        End: () => this.seek(this.length),
        "+": () => this.zoom(2),
        "=": () => this.zoom(2),
        "-": () => this.zoom(0.5),
      };
      if (event.ctrlKey || event.metaKey || event.altKey || !moves[event.key]) return;
      event.preventDefault();
      moves[event.key]();
    },
    zoom(times, around = this.at) {
      const wide = Math.min(this.length, Math.max(CLOSEST_MS, (this.to - this.from) / times));
      const share = (around - this.from) / (this.to - this.from);
      this.show(around - wide * Math.min(1, Math.max(0, share)), wide);
    },
    zoom_to(ms) {
      const wide = Math.min(this.length, 20000);
      this.show(ms - wide / 3, wide);
    },
    show_from(ms) {
      this.show(ms, this.to - this.from);
    },
    show(from, wide) {
      this.from = Math.min(Math.max(0, from), this.length - wide);
      this.to = this.from + wide;
      this.draw();
      clearTimeout(this.later); // finer peaks once the window stands still
      this.later = setTimeout(() => this.load(), 200);
    },
    seek(ms) {
      this.at = Math.min(Math.max(0, ms), this.length);
      if (this.$refs.audio) this.$refs.audio.currentTime = this.at / 1000;
      this.moved();
    },
    to_turn(step) {
      const starts = this.marks.filter((m) => m.turn !== null && m.kind !== "stage").map((m) => m.begin_ms);
      const sorted = [...new Set(starts)].sort((a, b) => a - b);
      const next = step > 0 ? sorted.find((ms) => ms > this.at + 50) : sorted.findLast((ms) => ms < this.at - 50);
      if (next !== undefined) this.seek(next);
    },
    toggle() {
      if (this.playing) this.pause();
      else this.play();
    },
    play() {
      const audio = this.$refs.audio;
      if (!audio || this.trouble) return;
      audio.playbackRate = this.rate;
      if (this.at >= this.length - 50) this.at = 0;
      audio.currentTime = this.at / 1000;
      audio.play().catch(() => {});
    },
    play_from(ms) {
      this.seek(ms);
      this.play();
    },
    pause() {
      if (this.$refs.audio) this.$refs.audio.pause();
    },
    faster() {
      this.rate = RATES[(RATES.indexOf(this.rate) + 1) % RATES.length];
      if (this.$refs.audio) this.$refs.audio.playbackRate = this.rate;
    },
    failed() {
      if (!this.trouble && this.$refs.audio.error) this.trouble = this.words.failed;
    },
    follow_time() {
      if (!this.playing) return;
      this.at = this.$refs.audio.currentTime * 1000;
      if (this.zoomed && (this.at > this.to || this.at < this.from)) this.show_from(this.at);
      this.moved();
      this.frame = requestAnimationFrame(() => this.follow_time());
    },
    moved() {
      const begun = this.marks.filter((m) => m.turn !== null && m.kind !== "stage" && m.begin_ms <= this.at);
      const last = begun.reduce((a, b) => (a && a.begin_ms > b.begin_ms ? a : b), null);
      const turn = last ? last.turn : null;
      if (turn === this.turn) return;
      this.turn = turn;
      this.mark_transcript(turn);
      this.$emit("turn", turn);
    },
    mark_transcript(turn) {
      const root = this.follow && document.getElementById(this.follow);
      if (!root) return;
      for (const old of root.querySelectorAll(".turn--now")) old.classList.remove("turn--now");
      const now = turn !== null && root.querySelector(`[data-turn="${Number(turn)}"]`);
      if (!now) return;
      now.classList.add("turn--now");
      const quiet = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      const place = now.offsetTop - root.offsetTop - root.clientHeight / 3;
      root.scrollTo({ top: place, behavior: quiet ? "auto" : "smooth" });
    },
    clock(ms) {
      const tenths = Math.floor(ms / 100);
      const minutes = Math.floor(tenths / 600);
      return `${minutes}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
    },
  },
};
