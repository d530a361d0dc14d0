// Microphone, loudspeaker and level of a test call: getUserMedia and one RTCPeerConnection. What is said
// and answered is not here: the page's own process tells that.

const GATHER_MS = 1000; // for our own addresses; all of them are on this network
const LEVEL_MS = 60;
const QUIET_DB = -60;

export default {
  template: `
    <div class="try-sound">
      <q-icon :name="icon" size="18px" :class="{ 'try-mic--off': !microphone || muted }" />
      <div class="try-meter" role="meter" :aria-label="words.level" aria-valuemin="0" aria-valuemax="100"
        :aria-valuenow="level">
        <span class="try-meter-bar" :style="{ width: level + '%' }"></span>
      </div>
      <q-btn v-if="microphone" flat dense round size="sm" :icon="muted ? 'mic_off' : 'mic'"
        :aria-label="muted ? words.unmute : words.mute" :aria-pressed="muted" @click="mute" />
      <span class="muted try-sound-note">{{ note }}</span>
      <audio ref="audio" autoplay></audio>
    </div>`,
  props: { words: Object },
  data() {
    return { microphone: false, muted: false, level: 0, note: "" };
  },
  computed: {
    icon() {
      return this.microphone && !this.muted ? "mic" : "mic_off";
    },
  },
  mounted() {
    this.leave = () => this.stop();
    window.addEventListener("pagehide", this.leave);
  },
  unmounted() {
    window.removeEventListener("pagehide", this.leave);
    this.stop();
  },
  methods: {
    // Emits "offer" once: {sdp, microphone, why}. An empty sdp: this browser has no sound at all.
    async start(wanted) {
      this.stop();
      const turn = (this.turn = {});
      let why = "";
      if (wanted) why = await this.open_microphone(turn);
      if (this.turn !== turn) return; // stopped, or begun again, meanwhile
      let sdp = "";
      try {
        sdp = await this.make_offer();
      } catch (error) {
        why = this.words.broken;
      }
      if (this.turn !== turn) return;
      this.note = why;
      this.$emit("offer", { sdp, microphone: this.microphone, why });
    },
    async open_microphone(turn) {
      if (!navigator.mediaDevices) return this.words.insecure;
      let stream;
      try {
        stream = await navigator.mediaDevices.getUserMedia({
          audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
        });
      } catch (error) {
        return error.name === "NotAllowedError" ? this.words.refused : this.words.none;
      }
      if (this.turn !== turn) {
        stream.getTracks().forEach((track) => track.stop());
        return "";
      }
      this.stream = stream;
      this.microphone = true;
      this.muted = false;
      this.measure();
      return "";
    },
    async make_offer() {
      const peer = (this.peer = new RTCPeerConnection({ iceServers: [] }));
      peer.ontrack = (event) => {
        this.$refs.audio.srcObject = event.streams[0] || new MediaStream([event.track]);
        this.$refs.audio.play().catch(() => (this.note = this.words.silent));
      };
      peer.onconnectionstatechange = () => {
        if (peer === this.peer) this.$emit("connection", { state: peer.connectionState });
      };
      if (this.stream) this.stream.getTracks().forEach((track) => peer.addTrack(track, this.stream));
      else peer.addTransceiver("audio", { direction: "recvonly" });
      await peer.setLocalDescription(await peer.createOffer());
      await this.gathered(peer);
      return peer.localDescription.sdp;
    },
    gathered(peer) {
      if (peer.iceGatheringState === "complete") return Promise.resolve();
      return new Promise((done) => {
        const timer = setTimeout(done, GATHER_MS);
        peer.onicegatheringstatechange = () => {
          if (peer.iceGatheringState !== "complete") return;
          clearTimeout(timer);
          done();
        };
      });
    },
    async answer(sdp) {
      if (this.peer) await this.peer.setRemoteDescription({ type: "answer", sdp });
    },
    mute() {
      this.muted = !this.muted;
      if (this.stream) this.stream.getAudioTracks().forEach((track) => (track.enabled = !this.muted));
    },
    measure() {
      this.context = new AudioContext();
      const analyser = this.context.createAnalyser();
      analyser.fftSize = 1024;
      this.context.createMediaStreamSource(this.stream).connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      this.timer = setInterval(() => {
        analyser.getFloatTimeDomainData(samples);
        const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
        const db = 10 * Math.log10(power + 1e-12);
        this.level = this.muted ? 0 : Math.round(Math.max(0, Math.min(100, (1 - db / QUIET_DB) * 100)));
      }, LEVEL_MS);
    },
    stop() {
      this.turn = null;
      clearInterval(this.timer);
      if (this.context) this.context.close();
      if (this.stream) this.stream.getTracks().forEach((track) => track.stop());
      const peer = this.peer;
      this.context = this.stream = this.peer = null;
      if (peer) peer.close();
      if (this.$refs.audio) this.$refs.audio.srcObject = null;
      this.microphone = false;
      this.level = 0;
      this.note = "";
    },
  },
};
