{{- /* The pods of all Deployments and of the migration's job.
Each takes (dict "root" $ "component" "worker" | "api" | "history" | "migrate"). */ -}}

{{- define "worker.env" -}}
{{- $v := .root.Values -}}
{{- $secret := include "worker.secretName" .root | quote -}}
- {name: RABBITMQ_URI, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: RABBITMQ_URI}}}
{{- if include "worker.sqlite" .root }}
- {name: DATABASE_CONNECTION_URI, value: "sqlite:////data/webhooks.db"}
{{- else if ne (include "worker.source" .root) "file" }}
- {name: DATABASE_CONNECTION_URI, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: DATABASE_CONNECTION_URI}}}
{{- end }}
- {name: WEBHOOK_SECRET_KEY, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: WEBHOOK_SECRET_KEY, optional: true}}}
{{- if include "worker.servesApi" . }}
- {name: AUTHENTICATION_API_KEY, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: AUTHENTICATION_API_KEY}}}
- {name: SERVER_HOST, value: {{ $v.api.host | quote }}}
- {name: SERVER_PORT, value: {{ $v.api.port | quote }}}
{{- if include "worker.instanceTokens" .root }}
- {name: INSTANCE_TOKENS_URI, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: INSTANCE_TOKENS_URI}}}
{{- end }}
{{- end }}
- {name: RABBITMQ_EXCHANGE_NAME, value: {{ $v.exchangeName | quote }}}
- {name: WORKER_QUEUE_PREFIX, value: {{ $v.queuePrefix | quote }}}
- {name: WEBHOOK_REQUEST_TIMEOUT_MS, value: {{ int64 $v.requestTimeoutMs | quote }}}
- {name: WORKER_DRAIN_SECONDS, value: {{ include "worker.drain" .root | quote }}}
- {name: METRICS_HOST, value: {{ $v.metricsHost | quote }}}
- {name: METRICS_PORT, value: {{ $v.metricsPort | quote }}}
{{- with $v.egressAllow }}
- {name: EGRESS_ALLOW, value: {{ join "," . | quote }}}
{{- end }}
{{- if include "worker.mountsFile" .root }}
- {name: {{ include "worker.fileSetting" .root }}, value: {{ printf "/etc/webhook-worker/%s" $v.webhookFile.key | quote }}}
{{- end }}
{{- if include "worker.separateHistory" .root }}
- {name: HISTORY_DATABASE_URI, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: HISTORY_DATABASE_URI}}}
{{- end }}
{{- if $v.history.keep }}
- {name: HISTORY, value: {{ $v.history.keep | quote }}}
{{- else if include "worker.lacksHistory" .root }}
- {name: HISTORY, value: "off"}
{{- end }}
{{- if not (kindIs "invalid" $v.history.days) }}
- {name: HISTORY_DAYS, value: {{ int64 $v.history.days | quote }}}
{{- end }}
{{- if not $v.archive.enabled }}
- {name: ARCHIVE, value: "false"}
{{- end }}
{{- if not (kindIs "invalid" $v.archive.hours) }}
- {name: ARCHIVE_HOURS, value: {{ int64 $v.archive.hours | quote }}}
{{- end }}
{{- with $v.archive.maxBytes }}
- {name: ARCHIVE_MAX_BYTES, value: {{ . | quote }}}
{{- end }}
{{- if $v.order.enabled }}
- {name: ORDER, value: "true"}
{{- end }}
{{- if not (kindIs "invalid" $v.order.sidings) }}
- {name: ORDER_SIDINGS, value: {{ int64 $v.order.sidings | quote }}}
{{- end }}
{{- if and (eq .component "worker") $v.historyWriter.enabled }}
- {name: HISTORY_WRITER, value: "false"}
{{- end }}
{{- if eq .component "worker" }}
{{- range $name := list "OPS_WEBHOOK_URL" "OPS_WEBHOOK_SECRET" }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $name }}, optional: true}}}
{{- end }}
{{- if ne $v.opsWebhookFormat "auto" }}
- {name: OPS_WEBHOOK_FORMAT, value: {{ $v.opsWebhookFormat | quote }}}
{{- end }}
{{- end }}
{{- range $name, $value := $v.settings }}
- {name: {{ $name | quote }}, value: {{ include "worker.text" $value | quote }}}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "worker.volumes" -}}
{{- $v := .root.Values -}}
- {name: tmp, emptyDir: {sizeLimit: 64Mi}}
{{- if include "worker.sqlite" .root }}
- {name: data, persistentVolumeClaim: {claimName: {{ $v.database.persistence.existingClaim | default (include "worker.fullname" .root) | quote }}}}
{{- end }}
{{- if include "worker.mountsFile" .root }}
- name: webhook-file
  {{- $items := printf "items: [{key: %q, path: %q}]" $v.webhookFile.key $v.webhookFile.key }}
  {{- if $v.webhookFile.existingConfigMap }}
  configMap: {name: {{ $v.webhookFile.existingConfigMap | quote }}, {{ $items }}}
  {{- else }}
  secret: {secretName: {{ $v.webhookFile.existingSecret | default (printf "%s-file" (include "worker.fullname" .root)) | quote }}, {{ $items }}}
  {{- end }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The file's folder and not the file: a mounted file (subPath) would never see a new version. */ -}}
{{- define "worker.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if include "worker.sqlite" .root }}
- {name: data, mountPath: /data}
{{- end }}
{{- if include "worker.mountsFile" .root }}
- {name: webhook-file, mountPath: /etc/webhook-worker, readOnly: true}
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What each container has, but for its name, arguments, ports, probes and resources. */ -}}
{{- define "worker.container" -}}
image: {{ include "worker.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
env:
  {{- include "worker.env" . | nindent 2 }}
{{- with .root.Values.extraEnvFrom }}
envFrom: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.securityContext }}
securityContext: {{ toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  {{- include "worker.mounts" . | nindent 2 }}
{{- end }}

{{- /* What each pod has, whatever runs in it. */ -}}
{{- define "worker.podBase" -}}
{{- $v := .root.Values -}}
automountServiceAccountToken: false
# A service named like a prefix of ours would put its address into the environment.
enableServiceLinks: false
{{- with $v.podSecurityContext }}
securityContext: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $v.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $v.initContainers }}
initContainers:
{{- range . }}
{{- $default := ternary dict (dict "securityContext" ($v.securityContext | default dict)) (hasKey . "securityContext") }}
{{ list (merge (deepCopy .) $default) | toYaml }}
{{- end }}
{{- end }}
volumes:
  {{- include "worker.volumes" . | nindent 2 }}
{{- with $v.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* And "args" and "resources": the pod of each Deployment. */ -}}
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
  {{- include "worker.podBase" . | nindent 2 }}
  serviceAccountName: {{ include "worker.serviceAccount" .root | quote }}
  terminationGracePeriodSeconds: {{ include "worker.grace" .root }}
  containers:
  - name: worker
    {{- include "worker.container" . | nindent 4 }}
    args: {{ .args | toJson }}
    ports:
    - {name: metrics, containerPort: {{ $v.metricsPort }}}
    {{- if include "worker.servesApi" . }}
    - {name: http, containerPort: {{ $v.api.port }}}
    {{- end }}
    # Liveness: the event loop answers. Never the broker's state, or its outage would restart every pod. Ready: it
    # consumes, serves the API, or writes history.
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
{{- end }}
