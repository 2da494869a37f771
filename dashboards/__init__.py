"""Grafana's dashboards as code: `make dashboards` writes them to config/grafana/dashboards.

One module a dashboard; `queries` asks Prometheus, `panels` draws, `frame` puts panels together. They are no part of the
package that is installed: who runs Freshet needs the JSON alone.
"""
