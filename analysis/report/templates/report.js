"use strict";
(() => {
{% include "elements.js" %}

{% include "figures.js" %}

{% include "runs.js" %}
})();
