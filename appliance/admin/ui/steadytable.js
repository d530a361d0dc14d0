// A table whose cells are templates: one component for each, or Vue would take them for others at
// every change of the page, and put new elements in their place.
const components = new Map();

export default {
  template: `
    <q-table ref="qRef">
      <template v-for="(text, name) in templates" v-slot:[name]="cell">
        <component :is="made(text)" :props="cell" />
      </template>
      <template v-for="(_, name) in $slots" v-slot:[name]="cell">
        <slot :name="name" v-bind="cell || {}" />
      </template>
    </q-table>
  `,
  props: { templates: { type: Object, default: () => ({}) } },
  methods: {
    made(text) {
      if (!components.has(text)) components.set(text, { props: ["props"], template: text });
      return components.get(text);
    },
  },
};
