// Calls in progress as a list that changes in place. What callers said is text, never markup.
export default {
  template: `
    <div class="live-list" role="table" :aria-label="words.calls">
      <div class="live-row live-row--head" role="row">
        <span role="columnheader">{{ words.state }}</span>
        <span role="columnheader" class="live-right">{{ words.time }}</span>
        <span role="columnheader">{{ words.who }}</span>
        <span role="columnheader">{{ words.agent }}</span>
        <span role="columnheader">{{ words.last }}</span>
        <span role="columnheader" class="live-right">{{ words.gaps }}</span>
      </div>
      <div v-for="call in shown" :key="call.call_id" role="row" tabindex="0" :data-call="call.call_id"
           class="live-row" :class="{'live-row--open': call.call_id === opened, 'live-row--over': call.state === 'ended'}"
           :aria-selected="call.call_id === opened"
           @click="$emit('open', call.call_id)" @keydown.enter="$emit('open', call.call_id)"
           @keydown.down.prevent="move($event, 1)" @keydown.up.prevent="move($event, -1)">
        <span role="cell"><span class="chip live-chip" :class="'live-chip--' + call.state">
          <q-icon :name="icons[call.state]" size="14px" aria-hidden="true" />{{ states[call.state] }}</span></span>
        <span role="cell" class="live-right num" :title="words.in_state + ' ' + clock(call.state_at)">{{ clock(call.started_at || call.state_at, call.ended_at) }}</span>
        <span role="cell" class="live-who"><span class="live-caller mono">{{ call.caller || words.unknown }}</span>
          <span class="muted small">{{ call.direction === 'out' ? '←' : '→' }} <span class="mono">{{ call.did }}</span><template v-if="call.trunk"> · {{ call.trunk }}</template><template v-if="call.direction === 'test'"> · {{ words.test }}</template></span></span>
        <span role="cell" class="live-who"><span class="live-agent">{{ call.agent_name }}</span>
          <span class="muted small">{{ call.language }}<template v-if="call.agent_version"> · v{{ call.agent_version }}</template></span></span>
        <span role="cell" class="live-words">
          <span v-if="call.last_caller" class="live-said"><b class="live-dot live-dot--caller" :title="words.caller"></b>{{ call.last_caller }}</span>
          <span v-if="call.last_agent" class="live-said"><b class="live-dot live-dot--agent" :title="words.agent"></b>{{ call.last_agent }}</span></span>
        <span role="cell" class="live-gaps"><svg v-if="call.gaps_ms.length > 1" class="live-spark" viewBox="0 0 60 18" preserveAspectRatio="none" aria-hidden="true"><polyline :points="spark(call.gaps_ms)"/></svg>
          <span v-if="call.gaps_ms.length" class="num live-gap" :class="grade(call.gaps_ms[call.gaps_ms.length - 1])">{{ call.gaps_ms[call.gaps_ms.length - 1] }}</span></span>
      </div>
    </div>`,
  props: { first: Array, serverNow: Number, words: Object, states: Object, icons: Object },
  emits: ["open"],
  data() {
    return { calls: new Map(this.first.map((c) => [c.call_id, c])), now: 0, skew: 0, opened: "", filter: "" };
  },
  computed: {
    shown() {
      const wanted = (this.filter || "").trim().toLowerCase();
      const found = [...this.calls.values()].filter((c) => !wanted ||
        [c.caller, c.did, c.agent_name, c.trunk, c.language, this.states[c.state], c.last_caller, c.last_agent]
          .some((text) => (text || "").toLowerCase().includes(wanted)));
      return found.sort((a, b) => (a.started_at || a.state_at) - (b.started_at || b.state_at));
    },
  },
  mounted() {
    this.skew = this.serverNow - Date.now() / 1000;
    this.tick();
    this.timer = setInterval(this.tick, 1000);
  },
  unmounted() { clearInterval(this.timer); },
  methods: {
    tick() { this.now = Date.now() / 1000 + this.skew; },
    apply(calls, gone) {
      for (const call of calls) this.calls.set(call.call_id, call);
      for (const id of gone) this.calls.delete(id);
    },
    open_row(id) { this.opened = id; },
    search(text) { this.filter = text; },
    clock(from, to) {
      if (!from) return "";
      const s = Math.max(0, Math.floor((to || this.now) - from));
      const minutes = Math.floor(s / 60), two = (n) => String(n).padStart(2, "0");
      return minutes < 60 ? `${minutes}:${two(s % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(s % 60)}`;
    },
    spark(gaps) {
      const last = gaps.slice(-12), top = Math.max(1000, ...last);
      return last.map((gap, i) => `${(i * 60) / (last.length - 1)},${17 - (16 * gap) / top}`).join(" ");
    },
    grade(gap) { return gap >= 1500 ? "bad" : gap >= 800 ? "live-slow" : ""; },
    move(event, by) {
      const rows = [...this.$el.querySelectorAll(".live-row[tabindex]")];
      const next = rows[rows.indexOf(event.currentTarget) + by];
      if (next) next.focus();
    },
  },
};
