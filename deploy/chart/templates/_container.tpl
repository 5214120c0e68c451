{{/* Environment of a service: every setting is a flag of its binary under the name DUET_<FLAG>. Takes the same dict as in _names.tpl. */}}
{{- define "duet.environment" -}}
{{- $shared := .root.Values -}}
- name: DUET_MODEL
  value: {{ .values.model | quote }}
- name: DUET_LISTEN
  value: {{ printf "0.0.0.0:%v" .values.port | quote }}
- name: DUET_ADMIN_LISTEN
  value: {{ printf "0.0.0.0:%v" $shared.adminPort | quote }}
{{- if eq .component "verifier" }}
{{- with include "duet.drafterAddress" .root }}
- name: DUET_DRAFTER
  value: {{ . | quote }}
{{- end }}
{{- with .values.httpPort }}
- name: DUET_HTTP
  value: {{ printf "0.0.0.0:%v" . | quote }}
{{- end }}
{{- end }}
- name: DUET_THREADS
  value: {{ .values.threads | quote }}
- name: DUET_MAX_SESSIONS
  value: {{ .values.maxSessions | quote }}
- name: DUET_QUEUE
  value: {{ mul 2 .values.maxSessions | quote }}
- name: DUET_CONTEXT
  value: {{ .values.context | int | quote }}
- name: DUET_CACHE
  value: /var/cache/duet
- name: DUET_GRACE_PERIOD
  value: {{ printf "%vs" $shared.gracePeriodSeconds | quote }}
- name: DUET_LOG_FORMAT
  value: {{ $shared.logFormat | quote }}
- name: DUET_LOG_LEVEL
  value: {{ $shared.logLevel | quote }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: OTEL_RESOURCE_ATTRIBUTES
  {{- $where := "k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE)" }}
  value: {{ list $where (index $shared.otel "OTEL_RESOURCE_ATTRIBUTES") | compact | join "," | quote }}
{{- range $name, $value := omit $shared.otel "OTEL_RESOURCE_ATTRIBUTES" }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with .values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The one container of a pod. Readiness turns false as soon as a drain begins; liveness does not. */}}
{{- define "duet.container" -}}
{{- $shared := .root.Values -}}
name: {{ .component }}
image: {{ include "duet.image" . | quote }}
imagePullPolicy: {{ $shared.image.pullPolicy }}
env:
  {{- include "duet.environment" . | nindent 2 }}
ports:
  - name: grpc
    containerPort: {{ .values.port }}
    protocol: TCP
  {{- with .values.httpPort }}
  - name: http
    containerPort: {{ . }}
    protocol: TCP
  {{- end }}
  - name: admin
    containerPort: {{ $shared.adminPort }}
    protocol: TCP
startupProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: {{ divf .values.startupSeconds 5 | ceil | int }}
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- if and (gt (int $shared.preStopSleepSeconds) 0) (semverCompare ">=1.30.0-0" .root.Capabilities.KubeVersion.Version) }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ $shared.preStopSleepSeconds }}
{{- end }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
securityContext:
  {{- toYaml $shared.securityContext | nindent 2 }}
volumeMounts:
  - name: cache
    mountPath: /var/cache/duet
  - name: tmp
    mountPath: /tmp
  {{- with .values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
