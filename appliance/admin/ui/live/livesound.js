// Listening in: both sides of a call from a websocket (one byte for the rate in kHz, then stereo L16),
// played a quarter of a second behind, with a meter for each side.
const AHEAD_S = 0.25;
const MOST_AHEAD_S = 1.0; // a browser that was asleep catches up

export default {
  template: `
    <div v-if="on" class="live-sound" role="status">
      <q-icon name="hearing" size="16px" aria-hidden="true" />
      <span>{{ heard ? words.listening : words.connecting }}</span>
      <span class="live-meters" aria-hidden="true">
        <span class="live-meter live-meter--caller" :title="words.caller"><b :style="{width: level[0] + '%'}"></b></span>
        <span class="live-meter live-meter--agent" :title="words.agent"><b :style="{width: level[1] + '%'}"></b></span></span>
    </div>`,
  props: { words: Object },
  emits: ["ended"],
  data() { return { on: false, heard: false, level: [0, 0], pieces: 0 }; },
  unmounted() { this.stop(); },
  methods: {
    start(path) {
      this.stop();
      this.on = true;
      this.context = new AudioContext();
      this.next = 0;
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      const socket = new WebSocket(`${scheme}://${location.host}${path}`);
      socket.binaryType = "arraybuffer";
      socket.onmessage = (event) => { if (socket === this.socket) this.play(event.data); };
      socket.onclose = (event) => {
        if (socket !== this.socket) return;
        this.stop();
        this.$emit("ended", event.reason || "");
      };
      this.socket = socket;
    },
    stop() {
      const socket = this.socket, context = this.context;
      this.socket = this.context = null;
      this.on = this.heard = false;
      this.level = [0, 0];
      if (socket) socket.close();
      if (context) context.close();
    },
    play(data) {
      const rate = new Uint8Array(data, 0, 1)[0] * 1000;
      const samples = new Int16Array(data.slice(1));
      const length = samples.length / 2;
      const buffer = this.context.createBuffer(2, length, rate);
      const level = [0, 0];
      for (const side of [0, 1]) {
        const out = buffer.getChannelData(side);
        for (let i = 0; i < length; i++) {
          out[i] = samples[2 * i + side] / 32768;
          level[side] += out[i] * out[i];
        }
      }
      // two meters of 60 dB
      this.level = level.map((sum) => Math.max(0, Math.min(100, 100 + (1000 / 60) * Math.log10(sum / length + 1e-9))));
      const now = this.context.currentTime;
      if (this.next < now + 0.02 || this.next > now + MOST_AHEAD_S) this.next = now + AHEAD_S;
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.connect(this.context.destination);
      source.start(this.next);
      this.next += buffer.duration;
      this.heard = true;
      this.pieces += 1;
    },
  },
};
