{{- /* What values.schema.json cannot say: rules between values. Each fails with what to change. */ -}}

{{- define "worker.check" -}}
{{- include "worker.checkRelease" . -}}
{{- include "worker.checkSource" . -}}
{{- include "worker.checkDatabase" . -}}
{{- include "worker.checkHistory" . -}}
{{- include "worker.checkScaling" . -}}
{{- include "worker.checkApi" . -}}
{{- include "worker.checkSettings" . -}}
{{- include "worker.checkReplay" . -}}
{{- include "worker.checkOrder" . -}}
{{- include "worker.checkLabels" . -}}
{{- include "worker.checkResources" . -}}
{{- include "worker.checkNetworks" . -}}
{{- range $component := list "worker" "api" "history" "migrate" -}}
{{- include "worker.checkPod" (dict "root" $ "component" $component) -}}
{{- end -}}
{{- end }}

{{- /* (dict "what" WHERE "names" [NAME]) */ -}}
{{- define "worker.checkUnique" -}}
{{- $what := .what }}{{ $seen := dict -}}
{{- range .names -}}
{{- if hasKey $seen . }}{{ fail (printf "%s: %s is there twice" $what .) }}{{ end -}}
{{- $_ := set $seen . true -}}
{{- end -}}
{{- end }}

{{- define "worker.checkRelease" -}}
{{- if regexMatch "^[0-9]" (include "worker.fullname" .) -}}
{{- fail (printf "the release's name %s begins with a digit, which a Service's name must not" .Release.Name) -}}
{{- end -}}
{{- end }}

{{- define "worker.checkSource" -}}
{{- $v := .Values }}{{ $file := $v.webhookFile }}{{ $source := include "worker.source" . -}}
{{- if not (has $source (list "own" "evolution" "file")) -}}
{{- fail (printf "settings.WEBHOOK_SOURCE is %s: own, evolution or file" $source) -}}
{{- end -}}
{{- $given := compact (list $file.content $file.existingSecret $file.existingConfigMap) -}}
{{- if gt (len $given) 1 -}}
{{- fail "webhookFile: one of content, existingSecret and existingConfigMap, not several" -}}
{{- end -}}
{{- if and $given (eq $source "own") -}}
{{- fail "webhookFile is read with settings.WEBHOOK_SOURCE: file or evolution only" -}}
{{- end -}}
{{- $path := $v.settings | default dict | dig (include "worker.fileSetting" .) "" | toString -}}
{{- if and $given $path -}}
{{- fail (printf "settings.%s: webhookFile has its path; leave one of them out" (include "worker.fileSetting" .)) -}}
{{- end -}}
{{- if and (eq $source "file") (not $given) -}}
{{- $mounted := false -}}
{{- range $v.extraVolumeMounts }}{{ if hasPrefix (printf "%s/" .mountPath) $path }}{{ $mounted = true }}{{ end }}{{ end -}}
{{- if not $mounted -}}
{{- fail "settings.WEBHOOK_SOURCE is file, and the pods have no file: set webhookFile.content, .existingSecret or .existingConfigMap, or settings.WEBHOOK_FILE to a path below one of extraVolumeMounts" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* More than one pod at any time: SQLite is a file on one node and knows one writer. */ -}}
{{- define "worker.checkDatabase" -}}
{{- $v := .Values }}{{ $kind := $v.database.kind }}{{ $source := include "worker.source" . -}}
{{- $pods := int (ternary $v.replicaCount $v.autoscaling.maxReplicas (eq $v.autoscaling.kind "none")) -}}
{{- if and (eq $source "evolution") (eq $kind "sqlite") -}}
{{- fail "settings.WEBHOOK_SOURCE is evolution: set database.kind to that of Evolution's database, postgresql or mysql" -}}
{{- end -}}
{{- if and (include "worker.sqlite" .) (gt $pods 1) -}}
{{- fail (printf "database.kind is sqlite, which is for one pod, but these values make up to %d: use postgresql or mysql, or replicaCount 1 without autoscaling" $pods) -}}
{{- end -}}
{{- $schemes := get (dict "sqlite" "sqlite" "postgresql" "postgresql|postgres" "mysql" "mysql|mysql2|mariadb") $kind -}}
{{- if and (ne $source "file") (ne $kind "sqlite") (not $v.secrets.existingSecret) (not (regexMatch (printf "^(%s)://" $schemes) $v.secrets.databaseUri)) -}}
{{- fail (printf "database.kind is %s: secrets.databaseUri must begin with %s://, or secrets.existingSecret must hold DATABASE_CONNECTION_URI" $kind $kind) -}}
{{- end -}}
{{- if and (eq $kind "sqlite") $v.secrets.databaseUri -}}
{{- fail "database.kind is sqlite, which has its place on the volume: leave secrets.databaseUri empty or choose postgresql or mysql" -}}
{{- end -}}
{{- if and $v.migrationJob.enabled (or (eq $kind "sqlite") (not $v.secrets.existingSecret)) -}}
{{- fail "migrationJob.enabled runs before anything else of the release exists: it needs a database server and secrets.existingSecret. Without it each replica migrates when it starts" -}}
{{- end -}}
{{- end }}

{{- define "worker.checkHistory" -}}
{{- $v := .Values }}{{ $history := $v.history -}}
{{- if and $v.secrets.historyDatabaseUri $v.secrets.existingSecret -}}
{{- fail "secrets.historyDatabaseUri: with secrets.existingSecret write HISTORY_DATABASE_URI into that Secret, and history.separateDatabase: true" -}}
{{- end -}}
{{- if and $history.separateDatabase (not $v.secrets.existingSecret) (not $v.secrets.historyDatabaseUri) -}}
{{- fail "history.separateDatabase needs secrets.historyDatabaseUri, or HISTORY_DATABASE_URI in secrets.existingSecret" -}}
{{- end -}}
{{- if and (has $history.keep (list "all" "failures")) (include "worker.lacksHistory" .) -}}
{{- fail (printf "history.keep is %s, but the worker has no database of its own with settings.WEBHOOK_SOURCE %s: set history.separateDatabase" $history.keep (include "worker.source" .)) -}}
{{- end -}}
{{- if and $v.historyWriter.enabled (include "worker.sqlite" .) -}}
{{- fail "historyWriter.enabled: with SQLite, which is for one pod, the worker writes history itself" -}}
{{- end -}}
{{- if and $v.historyWriter.enabled (or (eq $history.keep "off") (and (not $history.keep) (include "worker.lacksHistory" .))) -}}
{{- fail "historyWriter.enabled, but history is off: there is nothing to write" -}}
{{- end -}}
{{- if and $v.secrets.opsWebhookSecret (not $v.secrets.opsWebhookUrl) -}}
{{- fail "secrets.opsWebhookSecret signs what goes to secrets.opsWebhookUrl, which is empty" -}}
{{- end -}}
{{- end }}

{{- /* As the worker's own settings: it would not start. */ -}}
{{- define "worker.checkReplay" -}}
{{- $v := .Values }}{{ $settings := $v.settings | default dict -}}
{{- if eq (dig "DISABLED_WEBHOOK" "" $settings | toString) "replay" -}}
{{- if not $v.archive.enabled }}{{ fail "settings.DISABLED_WEBHOOK is replay, which sends from the archive: archive.enabled" }}{{ end -}}
{{- if ne (include "worker.source" .) "own" }}{{ fail "settings.DISABLED_WEBHOOK is replay, which needs settings.WEBHOOK_SOURCE: own" }}{{ end -}}
{{- if ne ($v.history.keep | default (dig "HISTORY" "all" $settings)) "all" }}{{ fail "settings.DISABLED_WEBHOOK is replay, which needs all of the history: history.keep" }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "worker.checkOrder" -}}
{{- $v := .Values }}{{ $settings := $v.settings | default dict -}}
{{- if and $v.order.enabled (eq (dig "RABBITMQ_SOURCE" "" $settings | toString) "queues") -}}
{{- fail "order.enabled, but settings.RABBITMQ_SOURCE is queues: those hold one kind of event each, in no order" -}}
{{- end -}}
{{- end }}

{{- define "worker.checkScaling" -}}
{{- $v := .Values }}{{ $scaling := $v.autoscaling -}}
{{- if and (eq $scaling.kind "keda") (not $v.secrets.existingSecret) (not $v.secrets.managementUri) -}}
{{- fail "autoscaling.kind is keda: it asks RabbitMQ's management API, so secrets.managementUri (http://user:password@host:15672/vhost) is needed, or RABBITMQ_MANAGEMENT_URI in secrets.existingSecret" -}}
{{- end -}}
{{- if and (eq $scaling.kind "hpa") (not (dig "requests" "cpu" "" $v.resources)) -}}
{{- fail "autoscaling.kind is hpa: it aims at a share of resources.requests.cpu, which is missing" -}}
{{- end -}}
{{- if and (ne $scaling.kind "none") (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- end }}

{{- define "worker.checkApi" -}}
{{- $v := .Values -}}
{{- if and $v.api.enabled (not $v.secrets.existingSecret) (not $v.secrets.apiKey) -}}
{{- fail "api.enabled needs secrets.apiKey, or AUTHENTICATION_API_KEY in secrets.existingSecret" -}}
{{- end -}}
{{- if and $v.secrets.instanceTokensUri $v.secrets.existingSecret -}}
{{- fail "secrets.instanceTokensUri: with secrets.existingSecret write INSTANCE_TOKENS_URI into that Secret, and api.instanceTokens: true" -}}
{{- end -}}
{{- if and $v.api.instanceTokens (not $v.secrets.existingSecret) (not $v.secrets.instanceTokensUri) -}}
{{- fail "api.instanceTokens needs secrets.instanceTokensUri, or INSTANCE_TOKENS_URI in secrets.existingSecret" -}}
{{- end -}}
{{- if and (include "worker.instanceTokens" .) (not $v.api.enabled) -}}
{{- fail "secrets.instanceTokensUri and api.instanceTokens are for the API's and the console's callers: api.enabled" -}}
{{- end -}}
{{- if and $v.api.enabled (eq (int $v.api.port) (int $v.metricsPort)) -}}
{{- fail (printf "api.port and metricsPort are both %d: a pod needs two ports" (int $v.metricsPort)) -}}
{{- end -}}
{{- end }}

{{- define "worker.checkSettings" -}}
{{- $v := .Values -}}
{{- range $name := list "RABBITMQ_URI" "DATABASE_CONNECTION_URI" "WEBHOOK_SECRET_KEY" "AUTHENTICATION_API_KEY" "RABBITMQ_EXCHANGE_NAME" "WORKER_QUEUE_PREFIX" "WEBHOOK_REQUEST_TIMEOUT_MS" "WORKER_DRAIN_SECONDS" "EGRESS_ALLOW" "METRICS_HOST" "METRICS_PORT" "SERVER_HOST" "SERVER_PORT" "ARCHIVE" "ARCHIVE_HOURS" "ARCHIVE_MAX_BYTES" "RABBITMQ_URI_FILE" "DATABASE_CONNECTION_URI_FILE" "AUTHENTICATION_API_KEY_FILE" -}}
{{- range $where := list "settings" "extraEnv" -}}
{{- $names := list -}}
{{- if eq $where "settings" }}{{ $names = keys ($v.settings | default dict) }}{{ else }}{{ range $v.extraEnv }}{{ $names = append $names .name }}{{ end }}{{ end -}}
{{- if has $name $names }}{{ fail (printf "%s.%s: has a value of its own in this chart (see values.yaml)" $where $name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $v.extraEnv -}}
{{- if has .name (list "WEBHOOK_SOURCE" "WEBHOOK_FILE" "EVOLUTION_WEBHOOK_FILE") }}{{ fail (printf "extraEnv.%s: the chart must know it: write settings.%s" .name .name) }}{{ end -}}
{{- end -}}
{{- end }}

{{- /* A key that is there twice is no YAML, and a selector's label that is overridden selects nothing. */ -}}
{{- define "worker.checkLabels" -}}
{{- $v := .Values -}}
{{- $own := append (keys (fromYaml (include "worker.labels" .))) "app.kubernetes.io/component" -}}
{{- range $where, $given := dict "podLabels" $v.podLabels "podMonitor.labels" $v.podMonitor.labels "prometheusRule.labels" $v.prometheusRule.labels "dashboard.labels" $v.dashboard.labels "podAnnotations" $v.podAnnotations -}}
{{- range $name, $_ := $given -}}
{{- if has $name (append $own "checksum/secret") }}{{ fail (printf "%s: %s is set by the chart" $where $name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* A quantity as a number: 1.5Gi, 100m, 2. */ -}}
{{- define "worker.amount" -}}
{{- $text := include "worker.text" . -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- mulf (float64 (regexFind "^[0-9.]+" $text)) (get $units (regexFind "[A-Za-z]*$" $text)) -}}
{{- end }}

{{- define "worker.checkResources" -}}
{{- $all := dict "resources" .Values.resources "api.resources" .Values.api.resources "historyWriter.resources" .Values.historyWriter.resources -}}
{{- range .Values.initContainers }}{{ $_ := set $all (printf "initContainers.%s.resources" .name) (.resources | default dict) }}{{ end -}}
{{- range $where, $resources := $all -}}
{{- range $name, $wanted := $resources.requests -}}
{{- $most := dig $name "" ($resources.limits | default dict) -}}
{{- if and $most (gt (float64 (include "worker.amount" $wanted)) (float64 (include "worker.amount" $most))) -}}
{{- fail (printf "%s: requests.%s (%s) is more than limits.%s (%s)" $where $name (toString $wanted) $name (toString $most)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "worker.checkNetworks" -}}
{{- range .Values.egressAllow }}{{ include "worker.checkNetwork" (dict "what" "egressAllow" "text" .) }}{{ end -}}
{{- $policy := .Values.networkPolicy -}}
{{- range $what, $peers := dict "dns" $policy.dns "broker.to" $policy.broker.to "database.to" $policy.database.to "historyDatabase.to" $policy.historyDatabase.to "instanceTokensDatabase.to" $policy.instanceTokensDatabase.to "collector.to" $policy.collector.to "metricsFrom" $policy.metricsFrom "apiFrom" $policy.apiFrom -}}
{{- include "worker.checkPeers" (dict "what" (printf "networkPolicy.%s" $what) "peers" $peers) -}}
{{- end -}}
{{- end }}

{{- /* (dict "what" WHERE "mounts" [MOUNT] "volumes" [NAME]) */ -}}
{{- define "worker.checkMounts" -}}
{{- $paths := list -}}
{{- range .mounts -}}
{{- if not (has .name $.volumes) }}{{ fail (printf "%s: there is no volume %s" $.what .name) }}{{ end -}}
{{- $paths = append $paths .mountPath -}}
{{- end -}}
{{- include "worker.checkUnique" (dict "what" .what "names" $paths) -}}
{{- end }}

{{- /* (dict "root" $ "component" ...), as the pods take it. */ -}}
{{- define "worker.checkPod" -}}
{{- $env := list }}{{ $volumes := list }}{{ $containers := list "worker" "migrate" -}}
{{- range fromYamlArray (include "worker.env" .) }}{{ $env = append $env .name }}{{ end -}}
{{- include "worker.checkUnique" (dict "what" "settings and extraEnv" "names" $env) -}}
{{- range fromYamlArray (include "worker.volumes" .) }}{{ $volumes = append $volumes .name }}{{ end -}}
{{- include "worker.checkUnique" (dict "what" "extraVolumes" "names" $volumes) -}}
{{- include "worker.checkMounts" (dict "what" "extraVolumeMounts" "mounts" (fromYamlArray (include "worker.mounts" .)) "volumes" $volumes) -}}
{{- range .root.Values.initContainers -}}
{{- $what := printf "initContainers.%s" .name }}{{ $names := list }}{{ $containers = append $containers .name -}}
{{- range .env }}{{ $names = append $names .name }}{{ end -}}
{{- include "worker.checkUnique" (dict "what" (printf "%s.env" $what) "names" $names) -}}
{{- include "worker.checkMounts" (dict "what" (printf "%s.volumeMounts" $what) "mounts" .volumeMounts "volumes" $volumes) -}}
{{- end -}}
{{- include "worker.checkUnique" (dict "what" "initContainers" "names" $containers) -}}
{{- end }}
