"""python -m fast.beam: its flags, what is checked before workers start, and what is said at the end."""

import contextlib
import logging

logging.disable(logging.WARNING)  # it regrets that the extras for the clouds are not there
import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import create_runner

logging.disable(logging.NOTSET)

from common import errors
from common.errors import UserError
from fast.beam import pipeline, remote
from fast.commands import stylize
from fast.inference import style_spec

# whose job server knows flags that Beam's own parser does not
JOB_SERVER_RUNNERS = 'FlinkRunner', 'PortableRunner', 'SparkRunner'


def add_flags(parser):
    """Give `parser` the flags of the pipeline."""
    parser.add_argument('--input', nargs='+', required=True, metavar='GLOB',
                        help='photos, in any file system that Beam reads: \'photos/*.jpg\', \'gs://bucket/**.jpg\' (* '
                        'within a folder, ** also below), or folders')
    parser.add_argument('--output', required=True, metavar='FOLDER', help='a folder in any file system that it writes')
    parser.add_argument('--style', required=True, **stylize.STYLE_FLAG)
    stylize.add_renderer_flags(parser)
    parser.set_defaults(threads=1)  # Beam has a worker process a core


def run(args, beam_flags):
    """Stylize as the flags say; return the exit status, 1 if some photos could not be."""
    job = _empty_pipeline(beam_flags)
    globs, out = [remote.glob(text) for text in args.input], remote.absolute(args.output).rstrip('/')
    settings = stylize.renderer_from_flags(args).settings()
    for glob in globs:
        if remote.fixed_prefix(glob) == out + '/':
            raise UserError(f'--output {args.output}: is the folder of the photos; name another, so that pictures are '
                            'not taken for photos the next time')
        with _file_system_errors(glob):
            if not FileSystems.match([glob], [1])[0].metadata_list:
                raise UserError(f'--input {glob}: no such files')
    failed = pipeline.failure_list(out, args)
    with _file_system_errors(out):
        remote.acquire(FileSystems, out, style_spec.slug(args.style), settings)
        if FileSystems.exists(failed):  # of a run before
            FileSystems.delete([failed])
    pipeline.build(job, globs, out, args)
    try:
        result = job.run()
        result.wait_until_finish()
    except Exception as error:
        *_, last = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f'the pipeline has failed ({last}); the same command goes on') from error
    print(_counts(result))
    if FileSystems.exists(failed):
        print(f'{failed} lists those that could not be stylized')
        return 1
    return 0


def _empty_pipeline(flags):
    """An empty pipeline. Raises `UserError` for a runner that is none or lacks a flag, and for flags that nobody knows.
    """
    options = PipelineOptions(flags)
    name = options.view_as(StandardOptions).runner or 'DirectRunner'
    try:
        runner = create_runner(name)  # which may bring options of its own
        if type(runner).__name__ not in JOB_SERVER_RUNNERS:
            known, given = PipelineOptions([]).get_all_options(), options.get_all_options(retain_unknown_options=True)
            if unknown := ', '.join(f'--{flag}' for flag in given.keys() - known.keys()):
                raise UserError(f'{unknown}: neither a flag of this command nor one of Beam; --help lists those of '
                                'this command')
        FileSystems.set_options(options)
        return beam.Pipeline(runner, options)
    except (ImportError, ValueError, AttributeError) as error:
        raise UserError(f'--runner {name}: {error}') from error


@contextlib.contextmanager
def _file_system_errors(path):
    """What keeps a file system from being reached becomes a `UserError`: each raises its own kinds."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(errors.describe(error) if getattr(error, 'filename', None) else f'{path}: {error}') from error


def _counts(result):
    """How many photos had which outcome, as text; not every runner counts."""
    try:
        counters = {counter.key.metric.name: counter.result for counter in result.metrics().query()['counters']}
    except NotImplementedError:
        return 'done; this runner does not count'
    return ', '.join(f'{counters.get(outcome, 0)} {outcome}' for outcome in pipeline.OUTCOMES)
