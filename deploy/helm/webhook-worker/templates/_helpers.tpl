{{- define "worker.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "worker.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "worker.labels" -}}
{{ include "worker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "worker.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "worker.secretName" -}}
{{ .Values.secrets.existingSecret | default (include "worker.fullname" .) }}
{{- end }}

{{- define "worker.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "worker.fullname" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
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

{{- /* More than one pod at any time: SQLite is a file on one node and knows one writer. */ -}}
{{- define "worker.check" -}}
{{- $v := .Values -}}
{{- $pods := ternary (int $v.replicaCount) (int $v.autoscaling.maxReplicas) (eq $v.autoscaling.kind "none") -}}
{{- if and (eq $v.database.kind "sqlite") (gt (int $pods) 1) -}}
{{- fail (printf "database.kind is sqlite, which is for one pod, but these values make up to %d: use postgresql or mysql, or replicaCount 1 without autoscaling" (int $pods)) -}}
{{- end -}}
{{- if and (ne $v.database.kind "sqlite") (not $v.secrets.existingSecret) (not (hasPrefix (printf "%s://" $v.database.kind) $v.secrets.databaseUri)) -}}
{{- fail (printf "database.kind is %s: secrets.databaseUri must begin with %s://, or secrets.existingSecret must hold DATABASE_CONNECTION_URI" $v.database.kind $v.database.kind) -}}
{{- end -}}
{{- if and (eq $v.database.kind "sqlite") $v.secrets.databaseUri -}}
{{- fail "database.kind is sqlite, which has its place on the volume: leave secrets.databaseUri empty or choose postgresql or mysql" -}}
{{- end -}}
{{- if and $v.api.enabled (not $v.secrets.existingSecret) (not $v.secrets.apiKey) -}}
{{- fail "api.enabled needs secrets.apiKey, or AUTHENTICATION_API_KEY in secrets.existingSecret" -}}
{{- end -}}
{{- if and (eq $v.autoscaling.kind "keda") (not $v.secrets.existingSecret) (not $v.secrets.managementUri) -}}
{{- fail "autoscaling.kind is keda: it asks RabbitMQ's management API, so secrets.managementUri (http://user:password@host:15672/vhost) is needed, or RABBITMQ_MANAGEMENT_URI in secrets.existingSecret" -}}
{{- end -}}
{{- if and (ne $v.autoscaling.kind "none") (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- range $name := list "RABBITMQ_URI" "DATABASE_CONNECTION_URI" "WEBHOOK_SECRET_KEY" "AUTHENTICATION_API_KEY" "RABBITMQ_EXCHANGE_NAME" "WORKER_QUEUE_PREFIX" "WEBHOOK_REQUEST_TIMEOUT_MS" "WORKER_DRAIN_SECONDS" "EGRESS_ALLOW" "METRICS_HOST" "METRICS_PORT" "SERVER_HOST" "SERVER_PORT" -}}
{{- if hasKey $v.settings $name }}{{ fail (printf "settings.%s: has a value of its own in this chart (see values.yaml)" $name) }}{{ end -}}
{{- end -}}
{{- end }}

{{- /* The /webhook API has pods of its own, or with SQLite, which is for one pod, a place beside the worker. */ -}}
{{- define "worker.servesApi" -}}
{{- if and .root.Values.api.enabled (or (eq .component "api") (eq .root.Values.database.kind "sqlite")) }}yes{{ end }}
{{- end }}

{{- define "worker.apiPods" -}}
{{- if and .Values.api.enabled (ne .Values.database.kind "sqlite") }}yes{{ end }}
{{- end }}

{{- /* (dict "root" $ "component" "worker" | "api"): the environment of the one container. */ -}}
{{- define "worker.env" -}}
{{- $v := .root.Values -}}
{{- $secret := include "worker.secretName" .root -}}
- {name: RABBITMQ_URI, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: RABBITMQ_URI}}}
{{- if eq $v.database.kind "sqlite" }}
- {name: DATABASE_CONNECTION_URI, value: "sqlite:////data/webhooks.db"}
{{- else }}
- {name: DATABASE_CONNECTION_URI, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: DATABASE_CONNECTION_URI}}}
{{- end }}
- {name: WEBHOOK_SECRET_KEY, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: WEBHOOK_SECRET_KEY, optional: true}}}
{{- if include "worker.servesApi" . }}
- {name: AUTHENTICATION_API_KEY, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: AUTHENTICATION_API_KEY}}}
- {name: SERVER_HOST, value: "0.0.0.0"}
- {name: SERVER_PORT, value: {{ $v.api.port | quote }}}
{{- end }}
- {name: RABBITMQ_EXCHANGE_NAME, value: {{ $v.exchangeName | quote }}}
- {name: WORKER_QUEUE_PREFIX, value: {{ $v.queuePrefix | quote }}}
- {name: WEBHOOK_REQUEST_TIMEOUT_MS, value: {{ int64 $v.requestTimeoutMs | quote }}}
- {name: WORKER_DRAIN_SECONDS, value: {{ include "worker.drain" .root | quote }}}
- {name: METRICS_PORT, value: {{ $v.metricsPort | quote }}}
{{- with $v.egressAllow }}
- {name: EGRESS_ALLOW, value: {{ join "," . | quote }}}
{{- end }}
{{- range $name, $value := $v.settings }}
- {name: {{ $name }}, value: {{ include "worker.text" $value | quote }}}
{{- end }}
{{- end }}

{{- /* The same dict: the pod of both Deployments. */ -}}
{{- define "worker.pod" -}}
{{- $v := .root.Values -}}
metadata:
  labels:
    {{- include "worker.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with $v.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/secret: {{ toYaml $v.secrets | sha256sum }}
    {{- with $v.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "worker.serviceAccount" .root }}
  automountServiceAccountToken: false
  # A service named like a prefix of ours would put its address into the environment.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "worker.grace" .root }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
  - name: worker
    image: {{ include "worker.image" .root }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args: {{ .args | toJson }}
    env:
      {{- include "worker.env" . | nindent 6 }}
    ports:
    - {name: metrics, containerPort: {{ $v.metricsPort }}}
    {{- if include "worker.servesApi" . }}
    - {name: http, containerPort: {{ $v.api.port }}}
    {{- end }}
    # Liveness: the event loop answers. Never the broker's state, or its outage would restart every pod. Ready: it
    # consumes, or serves the API.
    startupProbe:
      httpGet: {path: /livez, port: metrics}
      periodSeconds: 2
      failureThreshold: 30
    livenessProbe:
      httpGet: {path: /livez, port: metrics}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      periodSeconds: 5
      timeoutSeconds: 3
      failureThreshold: 2
    resources: {{ toYaml .resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
    - {name: tmp, mountPath: /tmp}
    {{- if eq $v.database.kind "sqlite" }}
    - {name: data, mountPath: /data}
    {{- end }}
  volumes:
  - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
  {{- if eq $v.database.kind "sqlite" }}
  - {name: data, persistentVolumeClaim: {claimName: {{ $v.database.persistence.existingClaim | default (include "worker.fullname" .root) }}}}
  {{- end }}
  topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "worker.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
  {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
