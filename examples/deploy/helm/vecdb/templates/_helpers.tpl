{{- define "vecdb.name" -}}
{{- if contains "vecdb" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-vecdb" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vecdb.selector" -}}
app.kubernetes.io/name: vecdb
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vecdb.labels" -}}
{{ include "vecdb.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "vecdb.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "vecdb.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* The pods of a cluster beside vecdbd's, whose labels would fit the selectors above. */ -}}
{{- define "vecdb.selectorOf" -}}
app.kubernetes.io/name: vecdb-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- define "vecdb.labelsOf" -}}
{{ include "vecdb.selectorOf" . }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "vecdb.nodeImage" -}}
{{ .Values.cluster.image }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "vecdb.etcdUrls" -}}
{{- $name := printf "%s-etcd" (include "vecdb.name" .) -}}
{{- range $i := until (int .Values.cluster.etcd.members) -}}
{{ if $i }},{{ end }}http://{{ $name }}-{{ $i }}.{{ $name }}:2379
{{- end -}}
{{- end -}}

{{- define "vecdb.nodes" -}}
{{- range $i := until (int .Values.cluster.nodes) -}}
{{ if $i }},{{ end }}{{ add1 $i }}@{{ include "vecdb.name" $ }}-at-{{ add1 $i }}:7001
{{- end -}}
{{- end -}}

{{- define "vecdb.pod" -}}
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "vecdb.apart" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "vecdb.selectorOf" . | nindent 8 }}
{{- end -}}

{{- define "vecdb.claim" -}}
- metadata:
    name: data
  spec:
    accessModes:
      {{- toYaml .root.Values.persistence.accessModes | nindent 6 }}
    {{- with .root.Values.persistence.storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .size }}
{{- end -}}
