{{- /* Names, labels and what the values mean. Names are quoted wherever they are written: 123, true and null are names
too, and YAML would read a number, a flag and nothing. */ -}}

{{- /* A Service's name has no dot, which a release's may have. 50: the longest ending of ours makes it 58 of 63. */ -}}
{{- define "worker.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- regexReplaceAll "-+$" ($name | replace "." "-" | trunc 50) "" }}
{{- end }}

{{- define "worker.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- /* A version's build metadata begins with +, which no label may hold. */ -}}
{{- define "worker.labels" -}}
{{ include "worker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- end }}

{{- define "worker.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $image.tag | default (.Chart.AppVersion | replace "+" "_") }}{{ end }}
{{- end }}

{{- define "worker.secretName" -}}
{{ .Values.secrets.existingSecret | default (include "worker.fullname" .) }}
{{- end }}

{{- define "worker.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "worker.fullname" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- /* WEBHOOK_SOURCE, read as the worker reads it. */ -}}
{{- define "worker.source" -}}
{{ .Values.settings | default dict | dig "WEBHOOK_SOURCE" "" | toString | trim | lower | default "own" }}
{{- end }}

{{- /* Whether the webhooks are in SQLite's file: with source `file` no database is opened at all. */ -}}
{{- define "worker.sqlite" -}}
{{- if and (eq .Values.database.kind "sqlite") (ne (include "worker.source" .) "file") }}yes{{ end }}
{{- end }}

{{- /* Which setting names webhookFile: all webhooks, or with source `evolution` what its rows have no columns for. */ -}}
{{- define "worker.fileSetting" -}}
{{- if eq (include "worker.source" .) "evolution" }}EVOLUTION_WEBHOOK_FILE{{ else }}WEBHOOK_FILE{{ end }}
{{- end }}

{{- /* Whether the Secret has a database for history alone. */ -}}
{{- define "worker.separateHistory" -}}
{{- if or .Values.history.separateDatabase (and .Values.secrets.historyDatabaseUri (not .Values.secrets.existingSecret)) }}yes{{ end }}
{{- end }}

{{- /* Whether the Secret names Evolution's database, for the tokens of its instances. */ -}}
{{- define "worker.instanceTokens" -}}
{{- if or .Values.api.instanceTokens (and .Values.secrets.instanceTokensUri (not .Values.secrets.existingSecret)) }}yes{{ end }}
{{- end }}

{{- /* Whether history has no database: only source `own` brings one that the worker may make tables in. */ -}}
{{- define "worker.lacksHistory" -}}
{{- $named := keys (.Values.settings | default dict) -}}
{{- range .Values.extraEnv }}{{ $named = append $named .name }}{{ end -}}
{{- if and (ne (include "worker.source" .) "own") (not (has "HISTORY" $named)) (not (has "HISTORY_DATABASE_URI" $named)) (not (include "worker.separateHistory" .)) }}yes{{ end }}
{{- end }}

{{- define "worker.mountsFile" -}}
{{- $file := .Values.webhookFile -}}
{{- if or $file.content $file.existingSecret $file.existingConfigMap }}yes{{ end }}
{{- end }}

{{- /* The /webhook API has pods of its own, or with SQLite, which is for one pod, a place beside the worker. */ -}}
{{- define "worker.servesApi" -}}
{{- if and .root.Values.api.enabled (or (eq .component "api") (include "worker.sqlite" .root)) }}yes{{ end }}
{{- end }}

{{- define "worker.apiPods" -}}
{{- if and .Values.api.enabled (not (include "worker.sqlite" .)) }}yes{{ end }}
{{- end }}

{{- /* Seconds for what is in flight: as the worker itself computes it, the request timeout rounded up and 5 more. */ -}}
{{- define "worker.drain" -}}
{{- if kindIs "invalid" .Values.drainSeconds }}{{ add (div (add (int64 .Values.requestTimeoutMs) 999) 1000) 5 }}
{{- else }}{{ int64 .Values.drainSeconds }}{{ end }}
{{- end }}

{{- /* Always more than the drain: cancelling the consumers, the last publishes, the last acks and closing two
connections have 5 s each beyond it, the last traces 3 s, and the rest is spare. */ -}}
{{- define "worker.grace" -}}
{{ add (include "worker.drain" .) 30 }}
{{- end }}

{{- /* Helm reads numbers as floats: 1000000 would become 1e+06. */ -}}
{{- define "worker.text" -}}
{{- if and (kindIs "float64" .) (eq . (float64 (int64 .))) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}
