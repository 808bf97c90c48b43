// The type of a dashboard file, composed of Grafana's published types panel by panel.
//
// Grafana's `Panel` does not restrict `options`, `custom` and queries; here each type of panel has those of its plugin.
// Grafana publishes no type for the Prometheus query and its annotations, so they are defined here.

import type { AnnotationQuery, DataSourceRef, Dashboard, FieldConfig, Panel, VariableModel } from '@grafana/schema';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// A file contains the value of an enum, not its member.
type Plain<T> = unknown extends T
  ? unknown
  : T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends Array<infer Item>
        ? Array<Plain<Item>>
        : { [Key in keyof T]: Plain<T[Key]> };

interface Query {
  refId: string;
  datasource: DataSourceRef;
  expr: string;
  legendFormat?: string;
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  range?: boolean;
}

type Known<T> = { [Key in keyof T as string extends Key ? never : Key]: T[Key] };
type StandardProperty = Exclude<keyof Known<FieldConfig>, 'custom'>;

interface Override<Custom> {
  matcher: { id: 'byName' | 'byRegexp'; options: string };
  properties: Array<{ id: StandardProperty | `custom.${Extract<keyof Custom, string>}`; value: unknown }>;
}

interface PanelOf<Type extends string, Options, Custom>
  extends Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'title' | 'description' | 'datasource'> {
  type: Type;
  title: string;
  description: string;
  datasource: DataSourceRef;
  options: Options;
  targets: Query[];
  fieldConfig: {
    defaults: Omit<Known<FieldConfig>, 'custom'> & { custom?: Custom };
    overrides: Array<Override<Custom>>;
  };
}

export type StatPanel = Plain<PanelOf<'stat', stat.Options, object>>;
export type StateTimelinePanel = Plain<PanelOf<'state-timeline', timeline.Options, timeline.FieldConfig>>;
export type TimeseriesPanel = Plain<PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>>;
export type HeatmapPanel = Plain<PanelOf<'heatmap', heatmap.Options, heatmap.FieldConfig>>;
export type TablePanel = Plain<PanelOf<'table', table.Options, table.FieldConfig>>;
export type RowPanel = Plain<{
  type: 'row';
  id: number;
  title: string;
  collapsed: boolean;
  gridPos: Panel['gridPos'];
  panels: never[];
}>;

interface Annotation extends Omit<AnnotationQuery, 'target'> {
  target: Query;
  titleFormat: string;
  textFormat: string;
  tagKeys: string;
}

export type Frame = Plain<
  Omit<Dashboard, 'panels' | 'annotations' | 'templating'> & {
    annotations: { list: Annotation[] };
    templating: { list: VariableModel[] };
  }
>;
