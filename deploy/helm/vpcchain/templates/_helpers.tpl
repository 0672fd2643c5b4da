{{- define "vpcchain.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "vpcchain.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "vpcchain.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "vpcchain.selector" -}}
app.kubernetes.io/name: {{ include "vpcchain.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vpcchain.labels" -}}
{{ include "vpcchain.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "vpcchain.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- /* A whole number of a values file is a float here, which from a million on would be written as 1e+06. */ -}}
{{- define "vpcchain.env" -}}
{{- range $name, $value := .Values.env }}
- name: {{ $name }}
  value: {{ if kindIs "float64" $value }}{{ int64 $value | quote }}{{ else }}{{ toString $value | quote }}{{ end }}
{{- end }}
{{- end -}}

{{- /* Nothing of the image is written to, and a process gets no more rights than it began with. */ -}}
{{- define "vpcchain.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* Where the kubelet asks for /readyz; empty is the pod's address, which is the node's. */ -}}
{{- define "vpcchain.metricsHost" -}}
{{- $at := .Values.metrics.bindAddress -}}
{{- if $at }}{{ if eq $at "0.0.0.0" }}127.0.0.1{{ else }}{{ $at }}{{ end }}{{ else if not .Values.podMonitor.create }}127.0.0.1{{ end -}}
{{- end -}}

{{- define "vpcchain.daemonEnv" -}}
{{- include "vpcchain.env" . -}}
{{- if or .Values.podMonitor.create .Values.metrics.bindAddress (ne (int .Values.metrics.port) 61678) }}
{{- if and .Values.podMonitor.create (not .Values.metrics.bindAddress) }}
- name: NODE_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end }}
- name: METRICS_BIND_ADDRESS
  value: {{ printf "%s:%d" (default (ternary "$(NODE_IP)" "127.0.0.1" .Values.podMonitor.create) .Values.metrics.bindAddress) (int .Values.metrics.port) | quote }}
{{- end }}
{{- if .Values.criSocket.dir }}
- name: CRI_SOCKET
  value: unix:///host/cri/{{ .Values.criSocket.name }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
