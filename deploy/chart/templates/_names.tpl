{{/* Name of the release's objects. Short enough that "-verifier" still fits into a label. */}}
{{- define "duet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
The templates below take a dict: root (the chart's scope), component (drafter or verifier) and values (that component's block).
*/}}

{{- define "duet.component" -}}
{{- printf "%s-%s" (include "duet.fullname" .root) .component -}}
{{- end -}}

{{/* Labels that never change over the life of a release: a Deployment's selector cannot be edited. */}}
{{- define "duet.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "duet.labels" -}}
{{ include "duet.selector" . }}
app.kubernetes.io/part-of: duet
app.kubernetes.io/version: {{ default .root.Chart.AppVersion .root.Values.image.tag | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "duet.image" -}}
{{- $image := .values.image -}}
{{- $path := $image.repository -}}
{{- with .root.Values.image.registry }}{{ $path = printf "%s/%s" . $path }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $path $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $path (default .root.Chart.AppVersion .root.Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "duet.serviceAccount" -}}
{{- $fallback := ternary (include "duet.component" .) "default" .values.serviceAccount.create -}}
{{- default $fallback .values.serviceAccount.name -}}
{{- end -}}

{{- define "duet.claim" -}}
{{- default (printf "%s-cache" (include "duet.component" .)) .values.cache.persistence.existingClaim -}}
{{- end -}}

{{/* "true" where one pod at a time may mount the cache. */}}
{{- define "duet.exclusiveCache" -}}
{{- $claim := .values.cache.persistence -}}
{{- if and $claim.enabled (not $claim.existingClaim) (ne $claim.accessMode "ReadWriteMany") -}}true{{- end -}}
{{- end -}}

{{/* Where the verifier finds drafters; empty where there are none. */}}
{{- define "duet.drafterAddress" -}}
{{- if .Values.verifier.drafter -}}
{{- .Values.verifier.drafter -}}
{{- else if .Values.drafter.enabled -}}
{{- printf "http://%s:%v" (include "duet.component" (dict "root" . "component" "drafter")) .Values.drafter.port -}}
{{- end -}}
{{- end -}}
