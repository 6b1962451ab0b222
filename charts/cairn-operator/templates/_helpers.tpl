{{/* Name of everything of this release: short, and the same at each upgrade. */}}
{{- define "cairn-operator.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What selects the operator's pods: never changes. The validators' NetworkPolicies name it too. */}}
{{- define "cairn-operator.selector" -}}
app.kubernetes.io/name: cairn-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cairn-operator.labels" -}}
{{ include "cairn-operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: cairn
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "cairn-operator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "cairn-operator.name" .) }}
{{- end }}

{{/* repository[:tag][@digest]; the chart's own version when there is neither. */}}
{{- define "cairn-operator.image" -}}
{{- $tag := .image.tag -}}
{{- if and (not $tag) (not .image.digest) }}{{ $tag = .version }}{{ end -}}
{{ .image.repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .image.digest }}@{{ . }}{{ end }}
{{- end }}
