# Stage 1 of the agent: reads one line from stdin, stage 2, and runs it. Started as -EncodedCommand with
# -InputFormat None: without it powershell.exe itself reads a redirected stdin to fill $input, in a race with
# this script (ConsoleHost: IsRunningAsync, WrappedDeserializer; DataFormat.None reads nothing).
# Code page 28591 maps each byte to the character of the same number, so one reader serves lines and raw bytes:
# https://learn.microsoft.com/dotnet/api/system.text.encoding.getencoding
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$latin1 = [System.Text.Encoding]::GetEncoding(28591)
$reader = [System.IO.StreamReader]::new([Console]::OpenStandardInput(), $latin1, $false, 65536)
$agent = [System.Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($reader.ReadLine()))
try { . ([ScriptBlock]::Create($agent)) }
catch {
    # Plain words instead of the CLIXML that powershell.exe writes after -EncodedCommand.
    [Console]::Error.WriteLine($_.ToString() + ' ' + $_.InvocationInfo.PositionMessage)
    exit 1
}
