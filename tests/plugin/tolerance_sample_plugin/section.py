"""A section of a report's page: the energy of a run, which ``report.extra["energy"]`` has in kWh by method."""

from tolerance.reports.sections import Section

TEMPLATE = """\
{% from "shipped/macros.html.j2" import scroll %}
<p>Measured at the socket: {{ total | quantity }} kWh.</p>
{% call scroll("Energy by method") %}
<table>
<thead><tr><th scope="col">Method</th><th scope="col" class="n">kWh</th></tr></thead>
<tbody>
{% for method, kwh in methods %}
<tr><th scope="row">{{ method }}</th><td class="n">{{ kwh | quantity }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endcall %}
"""


def rows(report):
    energy = report.extra.get("energy")
    return {"methods": sorted(energy.items()), "total": sum(energy.values())} if energy else None


SECTION = Section(id="energy", title="Energy", rows=rows, template=TEMPLATE, after="data")
